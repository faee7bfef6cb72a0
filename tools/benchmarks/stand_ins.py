"""What stands in for Claude in the measurements: small scripts that show, echo and append on request."""

from __future__ import annotations

from benchmarks.program import python_script

# Shows `big`, a file in HOME, when a line is typed.
SHOW_FILE = """#!/bin/sh
echo READY; read line; cat "$HOME/big"; echo; echo THE"_"END; read line
"""

# Says when it runs, waits for a line, and says on descriptor 3 when it is about to end.
START_AND_END = """#!/bin/sh
echo CLAUDE"_"RUNS; read line; echo . >&3
"""

# Writes down the arguments it was given, one to a line.
ARGUMENTS = """#!/bin/sh
printf '%s\\n' "$@" >"$HOME/arguments.new"; mv "$HOME/arguments.new" "$HOME/arguments"
echo READY; exec sleep 1000
"""

IDLE = """#!/bin/sh
echo READY; exec sleep 1000
"""

# Echoes each key as <key>, in raw mode. Arguments: lines to show a second, and MiB to show before it is ready.
ECHO_KEYS = python_script("""
import os, select, sys, time, tty
tty.setraw(0)
with open(os.environ["HOME"] + "/load") as file:
    rate, first = map(int, file.read().split())
for _ in range(first * 1024 * 1024 // 64):
    os.write(1, b"what was shown before the measurement began, so many bytes a..\\r\\n")
os.write(1, b"READY\\r\\n")
number, due = 0, time.monotonic()
while True:
    wait = None if not rate else max(due - time.monotonic(), 0)
    if select.select([0], [], [], wait)[0]:
        for key in os.read(0, 64):
            os.write(1, b"<%c>" % key)
    if rate and time.monotonic() >= due:
        due += 1 / rate
        number += 1
        os.write(1, b"\\x1b[3%dm line %08d of the answer, with some text behind it\\x1b[0m\\r\\n" % (number % 8, number))
""")

# Shows lines that carry the time at which they were written. It begins when a line is typed.
STAMPED_LINES = python_script("""
import os, sys, time
with open(os.environ["HOME"] + "/load") as file:
    rate, count = map(int, file.read().split())
os.write(1, b"READY\\n")
os.read(0, 64)
start = time.monotonic()
for number in range(count):
    time.sleep(max(start + number / rate - time.monotonic(), 0))
    os.write(1, b"T=%020d and some text as Claude would show it on a line\\n" % time.monotonic_ns())
os.write(1, b"THE" b"_END\\n")
os.read(0, 64)
""")

# Fills the log, then shows 150 lines and appends 50 records a second, until its terminal ends.
SOAK = python_script("""
import json, os, re, sys, time, uuid
os.write(1, b"READY\\r\\n")
session = sys.argv[sys.argv.index("--session-id") + 1]
slug = re.sub("[^a-zA-Z0-9]", "-", os.path.realpath(os.getcwd()))
folder = os.path.join(os.environ["CLAUDE_CONFIG_DIR"], "projects", slug)
os.makedirs(folder, exist_ok=True)
path = os.path.join(folder, session + ".jsonl")

def append(number):
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".999Z"
    message = {"id": "msg_%d" % number, "type": "message", "role": "assistant", "model": "claude-x",
        "stop_reason": None, "content": [{"type": "text", "text": "answer %d " % number + "text " * 40}],
        "usage": {"input_tokens": 1, "output_tokens": 1}}
    line = {"type": "assistant", "uuid": str(uuid.uuid4()), "sessionId": session, "isSidechain": False, "cwd": "/"}
    with open(path, "a") as file:
        file.write(json.dumps(dict(line, timestamp=now, message=message)) + "\\n")

def show(number):
    os.write(1, b"\\x1b[3%dm%08d %s\\x1b[0m\\r\\n" % (number % 8, number, b"some text on a line of the answer " * 12))

for number in range(40_000):
    show(number)
for number in range(6_000):
    append(number)
start, number = time.monotonic(), 0
while True:
    number += 1
    time.sleep(max(start + number / 200 - time.monotonic(), 0))
    append(number) if number % 4 == 0 else show(number)
""")
