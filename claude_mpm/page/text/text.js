// Other people's text, made safe and short enough to show. Pure: no DOM.
//
// Everything a session reports is untrusted: a file name, a tool's output or a message may carry terminal escapes,
// control characters, or bidi overrides that reorder the text around them.

const ESCAPE_SEQUENCE = new RegExp(
  [
    "\\x1b(?:\\][^\\x07\\x1b\\x9c]*(?:\\x07|\\x1b\\\\|\\x9c|$)", // OSC: titles, hyperlinks, the clipboard
    "[PX^_][^\\x1b\\x9c]*(?:\\x1b\\\\|\\x9c|$)", // DCS, SOS, PM, APC
    "\\[[0-?]*[ -/]*[@-~]", // CSI: colours and cursor movement
    "[ -/]*[0-~])",
    "\\x9b[0-?]*[ -/]*[@-~]", // CSI in its one-byte form
  ].join("|"),
  "g",
);
// Invisible characters that can hide or reorder text. ZWJ, ZWNJ and U+FE0F stay: emoji and many scripts need them.
export const INVISIBLE = new RegExp(
  "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u200e\\u200f" +
    "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{e0000}-\\u{e01ef}]",
  "gu",
);
/** Tests for one of them without remembering a place, unlike INVISIBLE. */
export const SUSPECT = new RegExp(INVISIBLE.source, "u");
const NAMES = new Map([
  [0xad, "SHY"],
  [0x61c, "ALM"],
  [0x200b, "ZWSP"],
  [0x200e, "LRM"],
  [0x200f, "RLM"],
  [0x2060, "WJ"],
  [0xfeff, "BOM"],
  [0x202a, "LRE"],
  [0x202b, "RLE"],
  [0x202c, "PDF"],
  [0x202d, "LRO"],
  [0x202e, "RLO"],
  [0x2066, "LRI"],
  [0x2067, "RLI"],
  [0x2068, "FSI"],
  [0x2069, "PDI"],
]);

function named(character) {
  const code = character.codePointAt(0);
  if (code === 13) return "";
  if (code < 32) return String.fromCodePoint(0x2400 + code);
  return "⟨" + (NAMES.get(code) ?? "U+" + code.toString(16).toUpperCase().padStart(4, "0")) + "⟩";
}

/**
 * Remove terminal escape sequences and replace every other control, invisible or bidi character with a visible name,
 * so that no text can hide or reorder its neighbours. Newlines and tabs stay; carriage returns go.
 * @param {string} text
 * @returns {string}
 */
export function visible(text) {
  return SUSPECT.test(text) ? text.replace(ESCAPE_SEQUENCE, "").replace(INVISIBLE, named) : text;
}

/**
 * visible(text) between FSI and PDI (UAX #9), for places that take a string and no element: document.title, a
 * notification, an aria-label. Inside elements use the class `data` instead, which isolates by style.
 * @param {string} text
 * @returns {string}
 */
export const isolate = (text) => "\u2068" + visible(text) + "\u2069";

/**
 * A command's output as a terminal leaves it: escapes are removed, and of a line that was overwritten with carriage
 * returns (a progress bar) only the last state remains.
 * @param {string} text
 * @returns {string}
 */
export function terminalText(text) {
  const plain = text.replace(ESCAPE_SEQUENCE, "").replace(/\r+\n/g, "\n").replace(/\r+$/, "");
  return visible(plain.includes("\r") ? plain.replace(/[^\n]*\r/g, "") : plain);
}

/** The first line that is not blank, at most `size` characters of it. */
export function firstLine(text, size = 200) {
  const line = /\S.*/.exec(text.slice(0, 16384))?.[0].trimEnd() ?? "";
  return line.length > size ? line.slice(0, size) + "…" : line;
}

/** How many lines a text has; an empty text has none, and a newline at the end starts no further line. */
export function lineCount(text) {
  if (text === "") return 0;
  let count = text.endsWith("\n") ? 0 : 1;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}

/**
 * A path relative to the working directory where it is inside it, otherwise unchanged. POSIX and Windows paths.
 * @param {string} path
 * @param {string} [workingDir]
 */
export function relativePath(path, workingDir) {
  const directory = (workingDir ?? "").replace(/[/\\]+$/, "");
  if (!directory || !path.startsWith(directory)) return path;
  const rest = path.slice(directory.length);
  if (rest === "") return ".";
  return /^[/\\]/.test(rest) ? rest.replace(/^[/\\]+/, "") || "." : path;
}

/**
 * The address if it is an absolute http or https URL without control characters, otherwise null. Everything else
 * (javascript:, data:, file:, relative) is shown as text and never becomes a link.
 * @param {string} address
 * @returns {URL|null}
 */
export function webAddress(address) {
  if (!/^https?:\/\//i.test(address) || address.length > 2000 || /[\s\x00-\x1f\x7f]/.test(address)) return null;
  try {
    return new URL(address);
  } catch {
    return null;
  }
}
