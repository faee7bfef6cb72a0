"""A session as one file: each format against what was recorded, and the page in a browser without a network."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page import Page
from planted import SECRETS
from program import PROGRAM, environment, port_in, run, script
from support import DATA, ROOT, wait_until
from terminal import Terminal
from watching import Watcher

from claude_mpm.archive import recording
from claude_mpm.archive.catalog import SessionFile, identify
from claude_mpm.archive.export import cast, export, frames, markdown, page_bundle
from claude_mpm.archive.export.filming import filmed
from claude_mpm.archive.export.page_bundle import BundleError
from claude_mpm.archive.recorder import Recorder, recording_path
from claude_mpm.cli.export import run as export_command
from claude_mpm.errors import ClaudeMpmError, UsageError
from claude_mpm.feed import event as ev
from claude_mpm.feed.event import Origin
from claude_mpm.feed.log import Log
from claude_mpm.sources.parse.json_values import seconds
from claude_mpm.system import json_text

pytest_plugins = ("page_fixtures",)

Json = dict[str, Any]
SESSION = "22222222-2222-4222-8222-222222222222"
EDITS = ("Edit", "MultiEdit", "Write")
INFO = {"port": 8765, "host": "localhost", "working_dir": "/home/user/src/tally", "git_branch": "main"}


def recorded(path: Path, *events: ev.Event, size: tuple[int, int] | None = (24, 80)) -> Path:
    """A recording of these events."""
    log = Log("11111111-1111-4111-8111-111111111111")
    recorder = Recorder(log, path, size)
    recorder.start()
    for event in events:
        log.append(event)
    recorder.stop()
    recorder.join()
    return path


def session(*events: ev.Event) -> list[ev.Event]:
    """A whole session around these events."""
    now = time.time()
    return [
        ev.session_start(SESSION, INFO, "subprocess", now),
        *events,
        ev.session_end(SESSION, now + 1, 1.0, exit_code=0, signal=None, reason="Claude ended"),
    ]


def said(role: Any, text: str, **more: Any) -> ev.Event:
    return ev.claude_message(role, text, origin=Origin("transcript"), **more)


def called(tool: str, tool_input: Json, name: str = "t1") -> ev.Event:
    return ev.tool_start(name, tool, tool_input, origin=Origin("transcript"))


def written(path: Path, form: Any) -> bytes:
    return b"".join(export.write(lambda: frames.of_file(identify(path)), form))


def inside(html: bytes) -> list[Json]:
    """The events in an exported page."""
    found = re.search(rb'<script type="application/json" id="session-events">"([A-Za-z0-9+/=]*)"</script>', html)
    assert found is not None
    return [json.loads(line) for line in gzip.decompress(base64.b64decode(found[1])).splitlines()]


# --- JSON Lines ------------------------------------------------------------------------------------


def test_jsonl_of_a_recording_is_the_events_that_were_sent(tmp_path: Path) -> None:
    path = recorded(tmp_path / "r.jsonl", *session(said("user", "hällo"), ev.claude_output("\x1b[1mx", 0)))
    own = ("recording.start", "recording.size", "recording.end")
    sent = [line for line in path.read_bytes().splitlines(keepends=True) if json.loads(line)["type"] not in own]
    assert written(path, "jsonl") == b"".join(sent)


def test_jsonl_of_a_transcript_is_numbered_and_can_be_exported_again(tmp_path: Path) -> None:
    transcript = DATA / f"transcripts/2.1.330/{SESSION}.jsonl"
    first = written(transcript, "jsonl")
    rows = [json.loads(line) for line in first.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert len({row["instance_id"] for row in rows}) == 1
    assert {row["session_id"] for row in rows} == {SESSION}
    again = tmp_path / "again.jsonl"
    again.write_bytes(first)
    assert written(again, "jsonl") == first


# --- asciicast -------------------------------------------------------------------------------------


def test_the_cast_has_the_output_and_the_sizes_in_order(tmp_path: Path) -> None:
    log, path = Log("i"), tmp_path / "r.jsonl"
    recorder = Recorder(log, path, (24, 80))
    recorder.start()
    for event in session()[:1]:
        log.append(event)
    log.append(ev.claude_output("narröw", 0))
    recorder.resized(50, 132)
    log.append(ev.claude_output("wide", 7))
    recorder.stop()
    recorder.join()
    header, *rows = [json.loads(line) for line in written(path, "cast").splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert [row[1:] for row in rows] == [["o", "narröw"], ["r", "132x50"], ["o", "wide"]]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert rows[0][0] == 0.0


def test_a_session_without_output_makes_no_cast() -> None:
    with pytest.raises(UsageError, match="no recorded output"):
        b"".join(cast.lines([], cast.beginning([])))


def asciinema_cat(path: Path, home: Path) -> bytes:
    """What `asciinema cat` prints. It opens /dev/tty, so it needs a terminal even when it writes to a file."""
    out = path.with_suffix(".out")
    with Terminal(["sh", "-c", 'asciinema cat "$0" > "$1"', path, out], env=environment(home)) as terminal:
        assert terminal.wait() == 0, terminal.output
    return out.read_bytes()


def test_asciinema_shows_what_the_terminal_got(home: Path, tmp_path: Path) -> None:
    if shutil.which("asciinema") is None:
        pytest.skip("asciinema is missing: apt-get install asciinema")
    source = DATA / "recordings/tui.v2.1.330.cast"
    output = "".join(
        text for _, kind, text in map(json.loads, source.read_text("utf-8").splitlines()[1:]) if kind == "o"
    )
    (tmp_path / "output").write_bytes(output.encode())
    claude = script(tmp_path, f"stty -opost; cat {tmp_path / 'output'}; echo 日本語")
    args = ("--record", "--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude", claude)
    with Terminal([*PROGRAM, *args], env=environment(home), cwd=tmp_path, rows=30, cols=100) as terminal:
        assert terminal.wait() == 0
        shown = terminal.output
    recordings = home / ".claude-mpm" / "recordings"  # the monitor of a Claude this short has only just begun to load
    (path,) = wait_until(lambda: list(recordings.glob("*.jsonl")), "the recording")
    wait_until(lambda: b"recording.end" in path.read_bytes(), "the end of the recording")
    done = run("export", path, "-o", "out.cast", home=home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    wanted = (output + "日本語\n").encode()
    assert asciinema_cat(tmp_path / "out.cast", home) == wanted
    assert wanted in shown, "and that is what the user's terminal got, between our own lines"


# --- Markdown --------------------------------------------------------------------------------------


def test_markdown_reads_as_a_conversation(tmp_path: Path) -> None:
    at = Origin("transcript")
    events = session(
        said("user", "Fix the splitter."),
        said("assistant", "I look at it."),
        called("Bash", {"command": "pytest -q `here`", "description": "Run the tests"}),
        ev.tool_end("t1", "Bash", False, origin=at, summary="1 failed"),
        called("Edit", {"file_path": "/src/words.py", "old_string": "a\nb", "new_string": "a\n```c"}),
        ev.agent_delegation("Explore", "Find others", "started", origin=at, agent_id="a1"),
        said("assistant", "None.", agent_id="a1"),
        ev.todo_update([{"id": "1", "content": "Fix it", "status": "completed"}], origin=at),
        said("assistant", "Done."),
    )
    text = written(recorded(tmp_path / "r.jsonl", *events), "md").decode()
    wanted = [
        f"# Session {SESSION}", "- Directory: /home/user/src/tally", "- Branch: main", "## User", "Fix the splitter.",
        "## Claude", "I look at it.", "- **Bash** `` pytest -q `here` ``", "  failed: 1 failed",
        "- **Edit** `/src/words.py`", "  ````diff", "   a", "  -b", "  +```c", "  ````", "- **Agent** Explore: Find others",
        "## Claude (agent: Find others)", "None.", "- [x] Fix it", "## Claude", "Done.",
    ]  # fmt: skip
    places = [text.splitlines().index(line) for line in wanted[:16]]
    assert places == sorted(places)
    assert [line for line in wanted if line not in text.splitlines()] == []


def test_markdown_of_every_recorded_era_has_all_that_was_said() -> None:
    for path in sorted(DATA.glob(f"transcripts/*/{SESSION}.jsonl")):
        found = list(frames.of_file(SessionFile(path, SESSION)))
        text = "".join(markdown.lines(found))
        for frame in found:
            if frame["type"] == "claude.message":
                assert frame["data"]["text"].strip() in text


# --- the page --------------------------------------------------------------------------------------


def test_the_page_holds_the_events_and_its_policy_admits_no_network(tmp_path: Path) -> None:
    path = recorded(tmp_path / "r.jsonl", *session(said("user", "</script><script>alert(1)</script>")))
    html = written(path, "html")
    assert [row["type"] for row in inside(html)] == ["session.start", "claude.message", "session.end"]
    policy = re.search(rb'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1].startswith(b"default-src &#x27;none&#x27;; script-src &#x27;sha256-")
    assert b"alert(1)" not in html
    assert re.findall(rb'(?:src|href)="(?!data:|#)[^"]*"', html) == []


def test_an_exported_page_can_be_exported_again(tmp_path: Path) -> None:
    transcript = DATA / f"transcripts/2.1.330/{SESSION}.jsonl"
    page_file = tmp_path / "out.html"
    page_file.write_bytes(written(transcript, "html"))
    assert identify(page_file).kind == "export"
    assert written(page_file, "jsonl") == written(transcript, "jsonl")
    damaged = page_file.read_bytes().replace(b'id="session-events">"H4sI', b'id="session-events">"H4sIAAAA')
    page_file.write_bytes(damaged)
    with pytest.raises(UsageError, match=r"damaged|cannot be read"):
        written(page_file, "jsonl")


def test_ten_thousand_events_make_a_page_of_two_megabytes_at_most(tmp_path: Path) -> None:
    transcript = DATA / f"transcripts/2.1.330/{SESSION}.jsonl"
    one = list(frames.of_file(SessionFile(transcript, SESSION)))
    many = []
    for number in range(10_000):
        frame = json.loads(json_text.dumps(one[number % len(one)]).replace(b"toolu_", b"toolu_%d_" % number))
        many.append({**frame, "seq": number + 1, "timestamp": ev.rfc3339(1.79e9 + number / 3)})
    assert sum(map(len, export.write(lambda: many, "html"))) <= 2_000_000


def test_modules_are_joined_after_what_they_import(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "main.js").write_text(
        'import { two as zwei } from "./sub/b.js";\nimport * as a from "./a.js";\nresult(zwei + a.one);\n'
    )
    (tmp_path / "sub/b.js").write_text(
        'import {\n  one,\n} from "../a.js";\nexport const two = one + one;\nexport { one } from "../a.js";\n'
    )
    (tmp_path / "a.js").write_text("export const one = 1;\nexport function f() {}\nexport class C {}\n")
    script = page_bundle.modules(tmp_path)
    assert [line for line in script.splitlines() if line.startswith("// ")] == ["// a.js", "// sub/b.js", "// main.js"]
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    node = subprocess.run(
        ["node", "-e", f"const result = (x) => console.log(x);\n{script}"], capture_output=True, timeout=30
    )
    assert node.stdout == b"3\n", node.stderr


@pytest.mark.parametrize(
    "text",
    ['import("./a.js");', "export default 1;", "export let a = 1;", 'import x from "./a.js";', "import.meta.url;",
     'import { a } from "lodash";', 'import { a } from "./missing.js";', 'const a = "</script>";', 'import { a } from "./main.js";'],
)  # fmt: skip
def test_what_cannot_be_joined_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "main.js").write_text(text + "\n")
    (tmp_path / "a.js").write_text("")
    with pytest.raises(BundleError):
        page_bundle.modules(tmp_path)


@pytest.fixture
def tab(page: Page) -> Iterator[Page]:
    """A tab without a network."""
    page.cdp("Network.enable")
    page.cdp("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
    page.size(1280, 900)
    yield page
    page.cdp("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    page.cdp("Network.disable")


def open_offline(tab: Page, path: Path) -> None:
    tab.open(path.as_uri())
    tab.until(lambda: tab.shows("#one"), "the session in the file")
    tab.frame()


@pytest.mark.browser
@pytest.mark.parametrize("version", ["1.0.128", "2.0.77", "2.1.330"])
def test_an_exported_session_opens_from_disk_without_a_network(tab: Page, tmp_path: Path, version: str) -> None:
    transcript = DATA / f"transcripts/{version}/{SESSION}.jsonl"
    (tmp_path / "out.html").write_bytes(written(transcript, "html"))
    open_offline(tab, tmp_path / "out.html")
    found = list(frames.of_file(SessionFile(transcript, SESSION)))
    kinds = Counter(frame["type"] for frame in found)
    main = [f["data"]["text"] for f in found if f["type"] == "claude.message" and not f["data"].get("agent_id")]
    assert kinds["tool.start"] > 0
    shown = tab.js("return document.querySelector('#talk').textContent")
    assert all(line in shown for text in main for line in re.findall(r"^[\w ]{8,}$", text, re.MULTILINE)[:3])
    agents = {f["data"].get("tool_use_id") for f in found if f["type"] == "agent.delegation"}
    assert re.search(rf"\b{len(agents)} agents?\b", tab.text("#timeline")), tab.text("#timeline")
    edited = {
        f["data"]["input"]["file_path"] for f in found if f["type"] == "tool.start" and f["data"]["tool"] in EDITS
    }
    tab.keys("2")
    tab.frame()
    assert all(path.rpartition("/")[2] in tab.text("#panel-changes") for path in edited)
    last = [f["data"]["stats"] for f in found if f["type"] == "todo.update" and not f["data"].get("agent_id")]
    if last:
        assert f"{last[-1]['completed']}/{last[-1]['total']}" in tab.text("#tab-todos")
    assert tab.console() == []


@pytest.mark.browser
def test_the_time_cursor_of_an_exported_session_shows_past_moments(tab: Page, tmp_path: Path) -> None:
    transcript = DATA / f"transcripts/2.1.330/{SESSION}.jsonl"
    (tmp_path / "out.html").write_bytes(written(transcript, "html"))
    open_offline(tab, tmp_path / "out.html")
    rows = [tab.count("#talk > *")]
    found = [f for f in frames.of_file(SessionFile(transcript, SESSION)) if f["type"] == "claude.message"]
    for frame in (found[-2], found[len(found) // 2], found[0]):
        moment = int((seconds(frame["timestamp"]) or 0.0) * 1000)
        tab.js("location.hash = location.hash.split('?')[0] + '?at=' + arguments[0]", moment)
        tab.frame()
        tab.until(lambda: tab.count("#talk > *") < rows[-1], "an earlier moment")
        rows.append(tab.count("#talk > *"))
    assert rows == sorted(rows, reverse=True)
    assert tab.console() == []


def film_of(tab: Page) -> str:
    tab.frame()
    return " ".join(tab.text("#term").split())


@pytest.mark.browser
def test_a_recorded_terminal_is_shown_as_it_was_at_the_cursors_time(tab: Page, tmp_path: Path) -> None:
    pytest.importorskip("pyghostty")
    from claude_mpm.screen.film import Film

    began = 1.79e9
    log, path = Log("i", wall_clock=lambda: clock[0]), tmp_path / "r.jsonl"
    clock = [began]
    recorder = Recorder(log, path, (10, 40))
    recorder.start()
    log.append(ev.session_start(SESSION, INFO, "subprocess", began))
    for number in range(250):  # more than lie between two whole pictures
        clock[0] = began + number
        log.append(said("assistant", f"message {number}", message_id=str(number)))
        log.append(ev.claude_output(f"\x1b[Hpicture {number} \x1b[K", number))
    log.append(ev.session_end(SESSION, clock[0] + 1, 250.0, exit_code=0, signal=None, reason="Claude ended"))
    recorder.stop()
    recorder.join()
    out = tmp_path / "out.html"
    out.write_bytes(b"".join(export.write(lambda: frames.of_file(identify(path)), "html", open_film=Film.open)))
    open_offline(tab, out)
    tab.keys("3")
    assert film_of(tab) == "picture 249"
    for number in (120, 10, 200, 101, 99):
        tab.js(
            "location.hash = location.hash.split('?')[0] + '?at=' + arguments[0]", int((began + number + 0.1) * 1000)
        )
        assert film_of(tab) == f"picture {number}"
    assert tab.console() == []


class BrokenFilm:
    """A terminal that breaks down at the second text."""

    def __init__(self, rows: int, cols: int) -> None:
        self.texts = 0
        self.closed = False

    def resize(self, rows: int, cols: int) -> None: ...

    def feed(self, text: str) -> None:
        self.texts += 1
        if self.texts == 2:
            raise RuntimeError("the emulator was killed by signal 11")

    def picture(self) -> Json:
        return {"frame": self.texts}

    def close(self) -> None:
        self.closed = True


def test_a_terminal_that_breaks_down_costs_only_its_pictures(tmp_path: Path) -> None:
    films: list[BrokenFilm] = []

    def opened(rows: int, cols: int) -> BrokenFilm:
        films.append(BrokenFilm(rows, cols))
        return films[-1]

    stamps = [f"2026-11-24T21:00:0{second}.000Z" for second in range(4)]
    found = [{"type": "claude.output", "timestamp": stamp, "data": {"content": "x"}} for stamp in stamps]
    shown = list(filmed(found, opened, (24, 80), 3.0))
    assert [frame["type"] for frame in shown] == ["claude.output", "claude.screen", *["claude.output"] * 3]
    assert shown[1]["timestamp"] == stamps[0], "a picture bears the time at which it was drawn"
    assert [film.closed for film in films] == [True]


# --- the command -----------------------------------------------------------------------------------


def exported(monkeypatch: pytest.MonkeyPatch, cwd: Path, *args: str | Path) -> int:
    monkeypatch.chdir(cwd)
    return export_command([str(arg) for arg in args])


@pytest.mark.parametrize("form", export.FORMATS)
def test_no_format_gives_a_secret_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """Every kind of secret is planted in a message, in a call and, split between two events, in the output."""
    events = []
    for number, (secret, around) in enumerate(SECRETS.values()):
        text, half = around.format(secret), len(around.partition("{}")[0]) + len(secret) // 2
        events += [
            said("user", f"use {text}", message_id=str(number)),
            called("Bash", {"command": f"echo {text}"}, f"t{number}"),
            ev.claude_output(f"{text[:half]}", 0),
            said("assistant", "between"),
            ev.claude_output(f"{text[half:]}\r\n", half),
        ]
    path = recorded(tmp_path / "r.jsonl", *session(*events))
    assert exported(monkeypatch, tmp_path, path, "--format", form, "-o", "out") == 0
    data = contents(tmp_path / "out", form)
    for secret, _ in SECRETS.values():
        for part in (secret, secret[-20:], secret[len(secret) // 2 :][:20]):
            assert part not in data
    assert f"{3 * len(SECRETS)} secrets were masked (" in capsys.readouterr().err
    assert exported(monkeypatch, tmp_path, path, "--format", form, "-o", "out", "--no-redact") == 0
    data = contents(tmp_path / "out", form)
    assert all(secret[-8:] in data for secret, _ in SECRETS.values())
    assert "secrets were left in" in capsys.readouterr().err


def contents(path: Path, form: str) -> str:
    """What the file says, without its coding."""
    data = path.read_bytes()
    if form == "md":
        return data.decode()
    rows: list[Any] = inside(data) if form == "html" else [json.loads(line) for line in data.splitlines()]
    return "".join(row[2] for row in rows[1:]) if form == "cast" else "\n".join(texts(rows))


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def test_the_format_follows_the_files_name_and_the_file_is_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path / "r.jsonl", *session(said("user", "hello")))
    assert exported(monkeypatch, tmp_path, path, "-o", "talk.md") == 0
    assert (tmp_path / "talk.md").read_text().startswith("# Session")
    assert (tmp_path / "talk.md").stat().st_mode & 0o777 == 0o600
    assert exported(monkeypatch, tmp_path, path) == 0
    assert (tmp_path / f"claude-{SESSION}.html").read_bytes().startswith(b"<!doctype html>")


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path / "r.jsonl", *session())
    with pytest.raises(ClaudeMpmError, match="cannot be written"):
        exported(monkeypatch, tmp_path, path, "-o", "missing/out.md")
    with pytest.raises(UsageError, match="no recorded output"):
        exported(monkeypatch, tmp_path, path, "-o", "out.cast")
    assert [found.name for found in tmp_path.iterdir()] == ["r.jsonl"]


def test_what_is_no_session_is_a_usage_error(home: Path, tmp_path: Path) -> None:
    (tmp_path / "x.html").write_text("<!doctype html>")
    for name, why in (
        ("setup.py", b"holds no session"),
        (":0", b"not a port"),
        ("x.html", b"not a page that claude-mpm exported"),
        ("abc", b"no session"),
    ):
        done = run("export", ROOT / name if name == "setup.py" else name, home=home, cwd=tmp_path)
        assert (done.returncode, why in done.stderr) == (2, True), done.stderr
        assert done.stderr.count(b"\n") == 1


def test_the_cast_of_a_session_comes_from_its_recording(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    transcript = home / f".claude/projects/-tmp/{SESSION}.jsonl"
    transcript.parent.mkdir(parents=True)
    transcript.write_bytes((DATA / f"transcripts/2.1.330/{SESSION}.jsonl").read_bytes())
    for at, text in ((1.79e9, "older"), (1.79e9 + 60, "newer")):
        recorded(recording_path(home / ".claude-mpm/recordings", at, SESSION), *session(ev.claude_output(text, 0)))
    recorded(
        recording_path(home / ".claude-mpm/recordings", 1.79e9 + 90, "33333333-3333-4333-8333-333333333333"), *session()
    )
    assert exported(monkeypatch, tmp_path, "2222", "-o", "out.cast") == 0
    assert b"newer" in (tmp_path / "out.cast").read_bytes()
    assert exported(monkeypatch, tmp_path, "last", "-o", "out.md") == 0


def test_a_running_session_is_exported_by_its_port(home: Path, tmp_path: Path) -> None:
    claude = script(tmp_path, "echo hello from claude; read end")
    args = ("--websocket", "--websocket-port", "0", "--launch-method", "subprocess", "--claude", claude)
    with Terminal([*PROGRAM, *args], env=environment(home), cwd=tmp_path, rows=30, cols=100) as terminal:
        port = wait_until(lambda: port_in(terminal.output), "the port")
        with Watcher(port or 0) as seen:
            seen.wait_event("claude.output")
            done = run("export", f":{port}", "-o", "out.jsonl", home=home, cwd=tmp_path)
            shown = run("export", f":{port}", "-o", "out.cast", home=home, cwd=tmp_path)
        terminal.write(b"\r")
        terminal.wait()
    assert (done.returncode, shown.returncode) == (0, 0), done.stderr + shown.stderr
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert "hello from claude" in "".join(row["data"].get("content", "") for row in rows)
    assert b"hello from claude" in (tmp_path / "out.cast").read_bytes()


def test_the_recording_of_a_killed_monitor_is_exported_up_to_its_torn_line(tmp_path: Path) -> None:
    path = recorded(tmp_path / "r.jsonl", *session(said("user", "first"), said("assistant", "second")))
    path.write_bytes(path.read_bytes().partition(b"second")[0])
    assert [row["type"] for row in map(json.loads, written(path, "jsonl").splitlines())] == [
        "session.start",
        "claude.message",
    ]
    assert [event.type for event in recording.events(path)] == ["session.start", "claude.message"]
