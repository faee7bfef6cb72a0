"""A server of `websockets` that sends every event to every client with its broadcast(): websockets_broadcast.py BYTES

It prints its port; a line EVENTS on its input starts the burst; it ends with its input. It uses asyncio because that
is how broadcast() is meant to be used; nothing of claude-mpm is in it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime, timezone

from websockets.asyncio.server import ServerConnection, broadcast, serve


async def main() -> None:
    pad, connections = "x" * int(sys.argv[1]), set[ServerConnection]()

    async def serve_one(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()
        connections.discard(connection)

    async with serve(serve_one, "127.0.0.1", 0, compression=None, backlog=4096) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            for number in range(int(line)):
                now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
                data = {"content": f"N={number:08d}{pad}"}
                broadcast(
                    connections,
                    json.dumps({"type": "claude.output", "seq": number, "timestamp": now, "data": data}),
                )
                await asyncio.sleep(0)  # the loop flushes what did not fit into the sockets
        for connection in connections:
            connection.transport.abort()


if __name__ == "__main__":
    asyncio.run(main())
