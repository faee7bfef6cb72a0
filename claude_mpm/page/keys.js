// Keys. A table from key to command; typing in a field is never taken for a command.

import { prefs } from "./store.js";

/**
 * Listen for keys.
 *
 * @param {Map<string, function(): void>} commands by KeyboardEvent.key
 * @param {{palette: function(): void, back: function(): void, blocked: function(): boolean}} special ⌘/Ctrl-K; Esc; and
 *   whether a dialog has the keys
 */
export function listenForKeys(commands, { palette, back, blocked }) {
  document.addEventListener("keydown", (event) => {
    if (blocked()) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      return palette();
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") return typing ? event.target.blur() : back();
    const command = commands.get(event.key),
      presses = event.key === " " && event.target.matches("button, summary, a, [role=option]");
    if (typing || presses || !prefs.keys || !command) return;
    event.preventDefault();
    command();
  });
}
