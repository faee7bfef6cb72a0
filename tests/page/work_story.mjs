// A session that uses every tool, and a hostile one, as states of reduce.js.

import { START, agent, call, state } from "./session.mjs";

export const CODE = "import re\n\nWORD = re.compile(r\"[a-zA-Z]+\")\n";
export const MESSAGE = `# What I found

The bug is in \`words()\`: **only ASCII letters** count, so *café* becomes \`caf\`. See
[UAX #29](https://unicode.org/reports/tr29/) and https://docs.python.org/3/library/re.html.

1. Reproduce it with a test
2. Fix the pattern
   - keep \`\\w\`
   - drop \`[a-zA-Z]\`

- [x] test written
- [ ] documentation

| word   | before | after |
|--------|-------:|------:|
| café   |      1 |     2 |
| 日本語 |      0 |     1 |

> Combining marks belong to the letter before them.

\`\`\`python
WORD = re.compile(r"\\w+", re.UNICODE)
\`\`\`
`;

let next = 0;
const made = (tool, input, summary, part = {}) => {
  const at = next += 1000;
  const end = summary === undefined ? {} : { endAt: START + at + 400, endSeq: at + 1, ok: true, summary, durationMs: 400 };
  return call("c" + at, at, { tool, input, ...end, ...part });
};

const SEARCH = 'Web search results for query: "word boundaries"\n\nLinks: [{"title":"UAX #29: Text Segmentation","url":"https://unicode.org/reports/tr29/"},{"title":"bad","url":"javascript:alert(1)"}]\n\nWords are *segmented* by rules.';
const QUESTIONS = { questions: [
  { question: "Which color do you want?", header: "Color", multiSelect: false,
    options: [{ label: "Red", description: "warm" }, { label: "Blue", description: "calm" }] },
  { question: "Which sizes do you want?", header: "Sizes", multiSelect: true,
    options: [{ label: "S", description: "small" }, { label: "M", description: "medium" }] },
], answers: { "Which color do you want?": "Blue", "Which sizes do you want?": "S, M" } };

export const CALLS = [
  made("TaskCreate", { subject: "Reproduce the bug", description: "x" }, "Task #1 created successfully: Reproduce the bug"),
  made("TaskCreate", { subject: "Fix the splitter", description: "x" }, "Task #2 created successfully: Fix the splitter"),
  made("TaskUpdate", { taskId: "1", status: "in_progress" }, "Updated task #1 status"),
  made("Read", { file_path: "/src/tally/words.py" }, "     1→import re\n     2→\n     3→WORD = re.compile(r\"[a-zA-Z]+\")"),
  made("Bash", { command: "pytest -q tests/test_words.py", description: "Run the word tests" },
    "Exit code 1\n\x1b[31mE   AssertionError: assert ['caf'] == ['café']\x1b[0m\n1 failed, 4 passed in 0.21s", { ok: false, durationMs: 6021 }),
  made("Edit", { file_path: "/src/tally/words.py", old_string: 'WORD = re.compile(r"[a-zA-Z]+")', new_string: 'WORD = re.compile(r"\\w+", re.UNICODE)' },
    "The file /src/tally/words.py has been updated. Here's the result of running `cat -n` on a snippet of the edited file:\n     1→import re\n     2→\n     3→WORD = re.compile(r\"\\w+\", re.UNICODE)"),
  made("Write", { file_path: "/src/tests/test_new.py", content: "def test_words():\n    assert words('café') == ['café']\n" }, "File created successfully at: /src/tests/test_new.py"),
  made("MultiEdit", { file_path: "/src/tally/report.py", edits: [{ old_string: "a = 1", new_string: "a = 2" }, { old_string: "b", new_string: "c", replace_all: true }] }, "Applied 2 edits"),
  made("NotebookEdit", { notebook_path: "/src/n.ipynb", cell_id: "x1", new_source: "print(1)" }, "Updated cell x1"),
  made("TaskUpdate", { taskId: "1", status: "completed" }, "Updated task #1 status"),
  made("TaskUpdate", { taskId: "2", status: "in_progress" }, "Updated task #2 status"),
  made("Grep", { pattern: "re\\.compile", path: "/src/tally", output_mode: "files_with_matches" }, "Found 2 files\n/src/tally/words.py\n/src/tally/report.py"),
  made("Glob", { pattern: "**/*.md" }, "No files found"),
  made("LS", { path: "/src" }, "- /src/\n  - tally/"),
  made("WebFetch", { url: "https://unicode.org/reports/tr29/", prompt: "What is a word?" }, "A **word** is a unit."),
  made("WebSearch", { query: "word boundaries" }, SEARCH),
  made("ExitPlanMode", { plan: "# The plan\n1. make a file\n" }, "User has approved your plan."),
  made("AskUserQuestion", QUESTIONS, 'User has answered your questions: "Which color do you want?"="Blue".'),
  made("mcp__issue_tracker__create_issue", { title: "Words", labels: ["bug", "text"], body: { a: 1 } }, "created 7"),
  made("Quux", { first: "value", second: 2, third: null }, "fine", { durationMs: 0 }),
  made("ToolSearch", { query: "select:TaskCreate,TaskUpdate", max_results: 5 }, ""),
  made("Skill", { skill: "review", args: "now" }, "ok"),
  made("BashOutput", { bash_id: "b1" }, "10%\r20%\r100%\ndone"),
  made("Edit", { file_path: "/src/a.py", old_string: "a", new_string: "b" }, "The user doesn't want to proceed with this tool use. The tool use was rejected", { ok: false }),
  made("TodoWrite", { todos: [{ content: "Plan", status: "completed", activeForm: "Planning" }, { content: "Do", status: "in_progress", activeForm: "Doing" }] }, "Todos have been modified"),
  made("Agent", { description: "Check the hard cases", subagent_type: "general-purpose", prompt: "Try **emoji**." }, "Async agent launched successfully.", { id: "toolu_agent" }),
  made("Bash", { command: "sleep 100" }),
];
CALLS.forEach((entry) => { entry[0] = entry[1].id; });

const rowOf = ([id, { seq, at }]) => ({ kind: "call", seq, at, id });

/** A state with these calls, and a row for each. */
export const stateOf = (calls, part = {}) => state({ calls: new Map(calls), rows: calls.map(rowOf), ...part });

export const AGENTS = [
  agent("a1", 30000, { toolUseId: "toolu_agent", agent: "general-purpose", task: "Check the hard cases", status: "started", background: true }),
  agent("a2", 31000, { agent: "Explore", task: "Find every word splitter", status: "completed", durationMs: 63000, tokens: 34123, toolUses: 12 }),
  agent("a3", 32000, { agent: "docs", task: "Update the documentation", status: "failed", reason: "API Error: 529 overloaded\nmore", durationMs: 900 }),
];

export function story() {
  const built = stateOf(CALLS, { agents: new Map(AGENTS) });
  for (const [key, { at, seq = 99000 }] of AGENTS) built.rows.push({ kind: "delegation", seq, at, key });
  return built;
}

export const EVIL = "<img src=x onerror=window.pwned=1><script>window.pwned=2</script>\x1b[31m\x1b]8;;http://evil\x07x\x1b]8;;\x07" +
  "\u202egnp.exe\u2066\u200b\u{e0041} [click](javascript:window.pwned=3) ![i](http://evil.example/p.png) [https://good.example](https://evil.example/) " +
  "<https://a.b\u202e/> [d](data:text/html,x) [x](https://user:pw@evil.example) `<b>code</b>`\n\n<b>html</b>\n\n| <i>a</i> | b |\n|-|-|\n| [c](javascript:x) | \u202e |\n\n```<script>\n</code></pre><script>window.pwned=4</script>\n```\n";

export const JUNK = [null, undefined, 0, -1, NaN, true, "", EVIL, "x".repeat(70000), "\n".repeat(20000), [], [null, [[]], { a: EVIL }], {},
  { __proto__: null, constructor: EVIL, toString: 5 }, { length: 5 }];

const KEYS = ["file_path", "notebook_path", "path", "old_string", "new_string", "content", "edits", "new_source", "command", "description",
  "pattern", "glob", "offset", "limit", "url", "query", "prompt", "subagent_type", "plan", "questions", "answers", "todos", "subject",
  "taskId", "status", "skill", "bash_id", "replace_all"];
const TOOLS = [...new Set(CALLS.map(([, { tool }]) => tool)), "Task", "TaskList", "TaskOutput", "KillShell", "SlashCommand", "constructor",
  "__proto__", "mcp__", "mcp__x", "mcp__" + EVIL, EVIL, null, 7, "x".repeat(70000)];

/** Calls of every tool with every kind of junk in every field and as the whole input. */
export function hostileCalls() {
  const calls = [];
  for (const tool of TOOLS) for (const junk of JUNK) {
    const input = Object.fromEntries(KEYS.map((key) => [key, junk]));
    for (const given of [input, junk, { ...input, edits: [junk, input], todos: [junk, { content: junk, status: junk }], questions: [{ question: junk, options: [junk, { label: junk }] }], answers: input }]) {
      const id = "h" + calls.length;
      calls.push([id, { ...call(id, calls.length)[1], tool, input: given, summary: junk, ok: [true, false, null, "x"][calls.length % 4], durationMs: junk, agentId: junk, truncated: Boolean(junk) }]);
    }
  }
  return calls;
}
