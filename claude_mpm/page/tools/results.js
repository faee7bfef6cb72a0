// What tools answer, without the words that Claude Code puts around it for the model. Pure.

/** The exit code a failed Bash call reports, as text; null where it reports none. */
export const exitCode = (summary) => /^(?:Error: )?Exit code (\d{1,3})\b/.exec(summary)?.[1] ?? null;

/** Such a result without the line that tells the exit code. */
export const withoutExit = (summary) => summary.replace(/^(?:Error: )?Exit code \d{1,3}\n?/, "");

/** What a subagent reported, without the words Claude Code puts around it for the model (2.1.330). */
export function agentAnswer(summary) {
  if (/^Async agent launched successfully/.test(summary)) return "";
  const text = summary.replace(/^\s*<tools-used-before-summary>[\s\S]*?<\/tools-used-before-summary>\s*/, "");
  return text.replace(/^\[Subagent hand-back\][^\n]*\n+/, "").trim();
}
