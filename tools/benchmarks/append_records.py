"""Appends answers to a transcript as Claude does: append_records.py PATH SESSION COUNT INTERVAL

Each text is T= and the monotonic clock in nanoseconds at the time of writing.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path


def record(session: str, number: int) -> str:
    """One line of a transcript, as Claude Code 2 writes it for an answer of text."""
    message = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "stop_reason": None,
        "content": [{"type": "text", "text": f"T={time.monotonic_ns():020d}"}],
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # whole seconds would lie before the start
    line = {"type": "assistant", "uuid": str(uuid.uuid4()), "sessionId": session, "isSidechain": False, "cwd": "/"}
    return json.dumps({**line, "timestamp": now, "message": message}) + "\n"


def main() -> None:
    path, session, count, interval = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    path.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for number in range(count):
        time.sleep(max(start + number * interval - time.monotonic(), 0))
        with path.open("a") as file:
            file.write(record(session, number))


if __name__ == "__main__":
    main()
