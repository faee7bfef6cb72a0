// Tokens, and why a server refuses this page.

import { line } from "../plain.js";

/** The token for a port, or null. */
export const tokenOf = (port) => {
  try {
    return sessionStorage.getItem("token:" + port) || sessionStorage.getItem("token");
  } catch {
    return null;
  }
};

/** Remember a token for this tab only; `port` null: for all sessions. */
export function setToken(port, token) {
  try {
    sessionStorage.setItem(port === null ? "token" : "token:" + port, token);
  } catch {
    // storage is switched off: the token holds for this address only
  }
}

/** A script is not told why a WebSocket was refused; plain HTTP on the same port is. Null: nothing answered. */
export async function refusalOf(link) {
  const token = tokenOf(link.port);
  if (!link.home) {
    try {
      await fetch("http://" + link.host + "/healthz", { mode: "no-cors", signal: AbortSignal.timeout(4000) });
    } catch {
      return null;
    }
    return {
      why: "This session's server answers, but does not admit this page.",
      hint: "Open its own page at http://" + link.host + "/, with its token if it has one.",
    };
  }
  let answer, text;
  try {
    answer = await fetch("/status", {
      cache: "no-store",
      headers: token ? { Authorization: "Bearer " + token } : {},
      signal: AbortSignal.timeout(4000),
    });
    text = line(await answer.text(), 300);
  } catch {
    return null;
  }
  if (answer.ok || answer.status >= 500) return null;
  if (answer.status === 404)
    return {
      why: "The program on this port is not claude-mpm.",
      hint: "Open the address that claude-mpm prints when it starts.",
    };
  return {
    why: "The server refused this page" + (text ? ": " + text : " (status " + answer.status + ")") + ".",
    hint: /token/i.test(text)
      ? "Enter the token that claude-mpm was started with (--websocket-token), or open the link it printed."
      : "Open the page as http://localhost:" +
        link.port +
        "/, or start claude-mpm with --websocket-allow-host or --websocket-allow-origin.",
  };
}
