// The bar on top, and one session's header: a single line, with what happened to it below where something did.

import { el, text, attr, shape } from "./dom.js";
import { ago, clock, count, dollars, num, span, str } from "../plain.js";
import {
  store,
  prefs,
  mood,
  isLive,
  lastAt,
  needy,
  until,
  agentsRunning,
  tokensOf,
  ordered,
} from "../store.js";
import { isLocal, labelOf, machineOf, manyMachines, nameOf } from "../names.js";
import { endText } from "../text/phrases.js";
import { past } from "../sources/past.js";
import { pastNote } from "./earlier.js";

const $ = (id) => document.getElementById(id);
const LINK = new Map([
  ["live", "● live"],
  ["catching up", "◐ catching up"],
  ["slow", "◐ the server answers slowly"],
  ["refused", "✕ refused"],
  ["connecting", "◌ connecting"],
]);

/** What the selected session's source is doing; an ordinary end is no alarm. */
function linkWords(session, link) {
  if (session && session.past) return ["over", session.link.done ? "■ earlier session" : "◐ reading"];
  if (session && session.shown.info.kind === "replay") return ["over", "▶ replay"];
  if (session && session.shown.ended) return ["over", "■ session over"];
  if (!link) return ["connecting", LINK.get("connecting")];
  if (link.state === "lost") {
    const wait = Math.max(0, Math.ceil((link.retryAt - Date.now()) / 1000));
    return ["lost", "◌ connection lost" + (link.why ? " (" + link.why + ")" : "") + ", next try in " + wait + " s"];
  }
  if (link.state === "unreachable") return ["lost", "◌ " + (link.machine || "its machine") + " cannot be reached"];
  return link.state === "over" ? ["over", "■ session over"] : [link.state.replace(" ", "-"), LINK.get(link.state)];
}

/** Draw the bar on top. */
export function renderBar(session) {
  const [name, words] = linkWords(session, session ? session.link : store.home);
  attr(document.documentElement, "data-link", name);
  attr($("link"), "data-state", name);
  text($("link"), words);
  const waiting = needy().length;
  $("needy").hidden = !waiting;
  text($("needy"), "◆ " + waiting + (waiting === 1 ? " needs you" : " need you"));
  const can = "Notification" in window && isSecureContext,
    permission = can ? Notification.permission : "denied";
  $("notify").hidden = !can;
  text(
    $("notify"),
    permission === "granted" ? "Notifications on" : permission === "denied" ? "Notifications blocked" : "Notify me",
  );
  $("notify").disabled = permission !== "default";
  attr(
    $("notify"),
    "title",
    permission === "denied"
      ? "Your browser blocks notifications from this page. Allow them in the site settings beside the address."
      : "Get a notification when a session needs you",
  );
  attr($("sound"), "aria-pressed", prefs.sound);
  text($("theme"), prefs.theme === "light" ? "Light" : prefs.theme === "dark" ? "Dark" : "Auto");
  attr($("theme"), "aria-label", "Colours: " + prefs.theme);
}

/** Draw a session's header for the state that is shown. `live`: the state is the newest one. */
export function renderHead(session, state, live) {
  const info = state.info,
    [name, mark, word] = mood(session),
    over = session.over || session.shown.ended;
  text($("name"), nameOf(session));
  text($("branch"), info.git_branch ? "⎇ " + str(info.git_branch) : "");
  const machine = machineOf(session);
  text($("machine"), machine && (manyMachines() || !isLocal(session)) ? machine : "");
  text($("where"), session.port && !session.past ? ":" + session.port : "");
  text($("path"), str(info.working_dir));
  attr(
    $("path"),
    "title",
    str(info.working_dir) +
      (info.claude_version ? " · Claude " + str(info.claude_version) : "") +
      (state.status.pid ? " · pid " + state.status.pid : ""),
  );
  attr($("mood"), "data-mood", name);
  if ($("mood").dataset.said !== mark + word) {
    $("mood").dataset.said = mark + word;
    $("mood").replaceChildren(shape(mark), word);
  }
  renderStats(statsOf(session, state, live, over));
  renderNotes(session, over);
}

function statsOf(session, state, live, over) {
  const usage = state.usage,
    tokens = tokensOf(usage),
    agents = over && live ? 0 : agentsRunning(state),
    known = Math.max(state.agents.size, agents);
  const end = live ? until(session) : state.at;
  return [
    // the ones at the end go first where the line is short
    usage && usage.context_percent !== null && ["context", Math.round(usage.context_percent) + " %"],
    usage && usage.cost_usd !== null && ["cost", dollars(usage.cost_usd, usage.cost_is_estimate)],
    usage && ["tokens", count(tokens.input) + " in, " + count(tokens.output) + " out"],
    state.startedAt && ["age", span(Math.max(1000, end - state.startedAt))],
    usage && usage.model && ["model", usage.model.replace(/^claude-/, "").replace(/-\d{8}$/, "")],
    known && ["agents", agents + " of " + known],
    live && !over && state.process && num(state.process.cpu_percent) !== null
      ? ["cpu", Math.round(state.process.cpu_percent) + " %"]
      : null,
  ].filter(Boolean);
}

function renderStats(stats) {
  const host = $("stats");
  while (host.children.length > stats.length) host.lastChild.remove();
  stats.forEach(([label, value], i) => {
    const box = host.children[i] || host.appendChild(el("div", {}, el("dt"), el("dd")));
    box.dataset.kind = label;
    text(box.firstChild, label);
    text(box.lastChild, value);
  });
}

function renderNotes(session, over) {
  const now = session.shown;
  $("ended").hidden = !over && !["lost", "unreachable"].includes(session.link.state);
  const note = now.ended ? howItEnded(session) : howItIsLost(session);
  text($("ended-text"), isRead(session) ? pastNote(session) : note);
  const trouble =
    !over && session.link.state === "refused"
      ? session.link.why + " " + session.link.hint
      : !over && now.status.claude_status === "error"
        ? now.status.message || "Claude reported an error."
        : session.link.problem && typeof session.link.problem === "string"
          ? session.link.problem
          : "";
  $("trouble").hidden = !trouble;
  text($("trouble"), trouble);
  renderSuccessor(session, over);
}

/** Whether a session was over before this page opened it. */
const isRead = (session) => session.past || (session.shown.info.kind === "replay" && session.shown.ended);

let successor = "";
/** Another run on the port of a session that is over is offered, never opened by itself. */
function renderSuccessor(session, over) {
  const host = $("other"),
    next = over && ordered().find((other) => other.port === session.port && other !== session && isBeside(other, session));
  const link = session.link,
    idle = over && !next && !link.exported && link.home && link === store.home && link.state === "over";
  host.hidden = !next && !idle;
  const key = next ? next.id : idle ? "look" : "";
  if (successor === key) return;
  successor = key;
  if (next)
    host.replaceChildren(
      el("span", { text: "A new session started on this port: " + labelOf(next) + "." }),
      el("button", { type: "button", class: "plain", data: { go: next.id }, text: "Open it" }),
    );
  else
    host.replaceChildren(
      el("button", {
        type: "button",
        class: "plain",
        data: { look: "1" },
        text: "Look for a new session on :" + session.port,
      }),
    );
}

const isBeside = (other, session) => machineOf(other) === machineOf(session) && isLive(other);

function howItEnded({ link, shown: { ended, sessionId } }) {
  const said = endText(ended) + " at " + clock(ended.at) + ", " + ago(Date.now() - ended.at) + ".";
  if (link.exported) return said;
  const isKept = sessionId && past.rows.some((row) => row.sessionId === sessionId);
  const later = isKept ? "; Claude's own record of it stays under Earlier." : ".";
  return said + " What this page saw of it stays here until you close the tab" + later;
}

function howItIsLost(session) {
  const at = lastAt(session),
    asOf = ". Everything here is as of " + (at ? clock(at) : "the last event") + ".";
  if (session.link.exported) return "This file does not hold the end of the session" + asOf;
  if (session.link.state === "unreachable") return whyUnreachable(session.link) + asOf;
  return "Connection lost" + (session.over ? "; the process is gone" : "") + asOf;
}

const whyUnreachable = ({ machine, why }) =>
  "The hub cannot reach " + (machine || "this session's machine") + (why ? ": " + why.replace(/\.$/, "") : "");
