// A server of node's `ws` that sends every event to every client: node ws_broadcast.js DIRECTORY_OF_WS BYTES
// It prints its port; a line `EVENTS` on its input starts the burst; it ends with its input.
"use strict";
const readline = require("readline");
const { WebSocketServer } = require(process.argv[2]);

const pad = "x".repeat(Number(process.argv[3]));
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096 });
server.on("listening", () => console.log(server.address().port));

function broadcast(number, events) {
  if (number === events) return;
  const content = `N=${String(number).padStart(8, "0")}${pad}`;
  const timestamp = new Date().toISOString();
  const text = JSON.stringify({ type: "claude.output", seq: number, timestamp, data: { content } });
  for (const client of server.clients) client.send(text);
  setImmediate(broadcast, number + 1, events);
}

const input = readline.createInterface({ input: process.stdin });
input.on("line", (line) => broadcast(0, Number(line)));
input.on("close", () => process.exit(0));
