// Ends, gaps and calls in words. Pure.

import { dict, line, num, plural, str } from "../plain.js";

/** The line that says what a call is about; render/tool.js shows it in full. */
export function brief(input) {
  if (typeof input === "string") return line(input);
  const data = dict(input);
  const keys = [
    "command",
    "file_path",
    "notebook_path",
    "pattern",
    "path",
    "url",
    "query",
    "question",
    "subject",
    "description",
    "prompt",
    "skill",
  ];
  const key = keys.find((name) => typeof data[name] === "string" && data[name]);
  return line(key ? data[key] : Object.values(data).find((value) => typeof value === "string" && value) || "");
}

/** Whether an end is a failure: a signal, or an exit code that is not 0. */
export const failedEnd = (ended) => Boolean(ended.signal || ended.exit_code);

/** How a session ended: "Ended normally", "Killed by SIGKILL", "Failed with exit code 3 (why)". */
export function endText(ended) {
  if (ended.reason === "transcript_ends") return "Claude's record ends here";
  const how = ended.signal
    ? "Killed by " + str(ended.signal)
    : num(ended.exit_code) === null
      ? "Ended"
      : ended.exit_code === 0
        ? "Ended normally"
        : "Failed with exit code " + ended.exit_code;
  const ordinary = ended.exit_code === 0 || !ended.reason || ["exit", "exited", "signal"].includes(ended.reason);
  return how + (ordinary ? "" : " (" + str(ended.reason) + ")");
}

const WHY_LOST = new Map([
  ["slow_client", "this page was too slow to take them"],
  ["expired", "the server no longer keeps them"],
  ["before_start", "they are from before the hub began to look"],
  ["source_changed", "the hub had to turn to another way to this session"],
]);

/** What a gap lost and why: "3 events are missing here (tool.start 3): this page was too slow". */
export function gapText(data) {
  const counts = Object.entries(dict(data.counts)),
    total = counts.reduce((sum, [, n]) => sum + (num(n) || 0), 0),
    why = WHY_LOST.get(data.reason) || str(data.reason);
  if (!counts.length)
    return "Events may be missing here, " + num(data.from_seq) + " to " + num(data.to_seq) + ": " + why + ".";
  const what = plural(total, "event") + (total === 1 ? " is" : " are") + " missing here";
  return what + " (" + counts.map(([type, n]) => type + " " + n).join(", ") + "): " + why + ".";
}
