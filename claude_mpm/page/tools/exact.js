// Text exactly as it is, for whoever must decide about it. Pure: no DOM.
//
// clean() and visible() drop terminal escapes, which is right for reading. What somebody allows to run must be shown
// whole: here nothing is dropped, and whatever cannot be seen is written out by its number.

const UNSEEN = new RegExp(
  "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f" +
    "\\u2028-\\u202f\\u205f-\\u206f\\u2800\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\uffff\\xa0\\u1680" +
    "\\ud800-\\udfff\\u{e0000}-\\u{e0fff}]",
  "gu",
);

const named = (character) => "⟨U+" + character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩";

/**
 * Write every control, invisible, bidi and unusual space character as ⟨U+202E⟩. Newlines and tabs stay.
 * @param {string} text
 * @returns {string}
 */
export const exact = (text) => text.replace(UNSEEN, named);

/**
 * A tool's input for reading, whole: one entry per field, texts as they are and not as JSON with \n in it.
 * @param {any} input any JSON value
 * @returns {{name: string, text: string}[]}
 */
export function exactFields(input) {
  const shown = (value) => exact(typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? ""));
  if (input === null || typeof input !== "object" || Array.isArray(input)) return [{ name: "", text: shown(input) }];
  return Object.entries(input).map(([name, value]) => ({ name: exact(name), text: shown(value) }));
}

/**
 * The questions of AskUserQuestion; empty when the input has another form.
 * @param {any} input
 * @returns {{key: string, header: string, several: boolean, options: {label: string, description: string}[]}[]}
 */
export function questionsOf(input) {
  const given = input && Array.isArray(input.questions) ? input.questions : [];
  const text = (value) => (typeof value === "string" ? value : "");
  return given
    .filter((entry) => entry && typeof entry.question === "string" && entry.question)
    .map((entry) => ({
      key: entry.question,
      header: text(entry.header),
      several: entry.multiSelect === true,
      options: (Array.isArray(entry.options) ? entry.options : [])
        .filter((option) => option && text(option.label))
        .map((option) => ({ label: option.label, description: text(option.description) })),
    }));
}

/** Whole seconds until an RFC 3339 time, not less than 0; null for anything else. */
export function secondsUntil(expiresAt, now) {
  const at = typeof expiresAt === "string" ? Date.parse(expiresAt) : NaN;
  return Number.isFinite(at) ? Math.max(0, Math.ceil((at - now) / 1000)) : null;
}
