// Emphasis in inline Markdown: CommonMark's delimiter stack (0.31, "process emphasis"). Pure.

const MAX_NESTING = 8; // of emphasis and links within each other
const KINDS = { strong: 2, strike: 2, emphasis: 1 };

/**
 * Match the delimiter runs of a token list. Runs without a partner become text.
 * @param {object[]} tokens nodes, and delimiter runs {run, count, original, opens, closes}
 * @returns {import("./inline.js").Inline[]}
 */
export function resolve(tokens) {
  const stack = [{ run: null, children: [] }]; // open runs, each with what came after it
  const bottom = new Map(); // kind of closer -> height of the stack below which no opener matches (openers_bottom)
  for (const token of tokens) {
    if (!token.run) append(stack.at(-1).children, token);
    else {
      if (token.closes) closeRuns(stack, token, bottom);
      if (token.count && token.opens) stack.push({ run: token, children: [] });
      else if (token.count) append(stack.at(-1).children, { type: "text", text: token.run.repeat(token.count) });
    }
  }
  while (stack.length > 1) collapse(stack);
  return stack[0].children.map((node) => limited(node, 1));
}

function closeRuns(stack, closer, bottom) {
  const kind = closer.run + (closer.opens ? "o" : "c") + (closer.original % 3);
  while (closer.count) {
    let found = stack.length - 1;
    while (found > (bottom.get(kind) ?? 0) && !matches(stack[found].run, closer)) found--;
    if (found <= (bottom.get(kind) ?? 0)) {
      bottom.set(kind, stack.length - 1);
      return;
    }
    while (stack.length - 1 > found) collapse(stack);
    wrap(stack, closer);
    for (const [key, height] of bottom) if (height > stack.length - 1) bottom.set(key, stack.length - 1);
  }
}

function matches(opener, closer) {
  if (opener.run !== closer.run) return false;
  const ambiguous = (opener.closes || closer.opens) && (opener.original + closer.original) % 3 === 0;
  return !ambiguous || (opener.original % 3 === 0 && closer.original % 3 === 0);
}

function wrap(stack, closer) {
  const { run, children } = stack.pop();
  const type = closer.run === "~" ? "strike" : run.count > 1 && closer.count > 1 ? "strong" : "emphasis";
  run.count -= KINDS[type];
  closer.count -= KINDS[type];
  const node = { type, children };
  if (run.count) stack.push({ run, children: [node] });
  else append(stack.at(-1).children, node);
}

/** The innermost open run has no partner: it is text. */
function collapse(stack) {
  const { run, children } = stack.pop();
  const outer = stack.at(-1).children;
  append(outer, { type: "text", text: run.run.repeat(run.count) });
  for (const child of children) append(outer, child);
}

function append(nodes, node) {
  const last = nodes.at(-1);
  if (node.type === "text" && last?.type === "text")
    nodes[nodes.length - 1] = { type: "text", text: last.text + node.text };
  else if (node.type !== "text" || node.text) nodes.push(node);
}

function limited(node, depth) {
  if (!node.children) return node;
  if (depth >= MAX_NESTING) return { type: "text", text: flatText(node) };
  return { ...node, children: node.children.map((child) => limited(child, depth + 1)) };
}

/** The text of a node without its marks. Iterative: a hostile tree is as deep as the input is long. */
export function flatText(node) {
  const pending = [node];
  let text = "";
  while (pending.length) {
    const next = pending.pop();
    if (next.children) for (let at = next.children.length - 1; at >= 0; at--) pending.push(next.children[at]);
    else text += next.type === "break" ? "\n" : next.text;
  }
  return text;
}
