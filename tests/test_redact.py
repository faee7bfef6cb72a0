"""Secrets are masked wherever they stand, split or coloured; ordinary text is left as it is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from planted import KEY, NEAR_MISSES, SECRETS

from claude_mpm.archive.export.redact import WINDOW, Redactor
from claude_mpm.archive.export.secrets import find

Json = dict[str, Any]


def redacted(*frames: Json) -> tuple[list[Json], Redactor]:
    redactor = Redactor()
    return list(redactor.redact(lambda: frames)), redactor


def message(text: str) -> Json:
    return {"type": "claude.message", "seq": 1, "data": {"role": "user", "text": text}}


def output(content: str, stream: str = "stdout") -> Json:
    return {"type": "claude.output", "seq": 1, "data": {"content": content, "stream": stream, "offset": 0}}


def shown(frames: list[Json], stream: str = "stdout") -> str:
    return "".join(
        f["data"]["content"] for f in frames if f["type"] == "claude.output" and f["data"]["stream"] == stream
    )


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_a_message_is_masked_and_counted(name: str) -> None:
    secret, around = SECRETS[name]
    before, _, after = around.format("\0").partition("\0")
    (frame,), redactor = redacted(message(f"see {before}{secret}{after} there"))
    text = frame["data"]["text"]
    assert secret not in text
    assert text.startswith(f"see {before}[redacted: ")
    assert text.endswith(f"]{after} there")
    assert sum(redactor.counts.values()) == 1


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    frames = [message(text), output(text)]
    assert redacted(*frames)[0] == frames


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_the_output_is_masked_wherever_it_is_split(name: str) -> None:
    secret, around = SECRETS[name]
    text = f"$ cat it\r\n{around.format(secret)}\r\n$ next"
    starred = "".join("*" if not c.isspace() else c for c in secret)
    for cut in range(0, len(text), 7):
        frames, redactor = redacted(output(text[:cut]), message("between"), output("err", "stderr"), output(text[cut:]))
        assert shown(frames) == text.replace(secret, starred)
        assert [len(f["data"]["content"]) for f in frames[::3]] == [cut, len(text) - cut], "offsets still hold"
        assert sum(redactor.counts.values()) == 1


def test_colours_inside_a_secret_do_not_hide_it_and_stay() -> None:
    secret = SECRETS["github"][0]
    frames, _ = redacted(output(f"\x1b[32m{secret[:9]}\x1b[0"), output(f"m\x1b[1m{secret[9:]}\x1b[0m ok"))
    assert shown(frames) == f"\x1b[32m{'*' * 9}\x1b[0m\x1b[1m{'*' * 31}\x1b[0m ok"


def test_cursor_movements_separate_words() -> None:
    secret = SECRETS["github"][0]
    frames, _ = redacted(output(f"a\x1b[1C{secret}\x1b[3;1Hb"))
    assert shown(frames) == f"a\x1b[1C{'*' * 40}\x1b[3;1Hb"


def test_a_secret_that_a_program_wrapped_is_masked_in_all_its_rows() -> None:
    secret = SECRETS["anthropic"][0]
    frames, redactor = redacted(output(f"│ {secret[:70]} │\r\n│ {secret[70:]} │\r\n│ and words │"))
    assert shown(frames) == f"│ {'*' * 70} │\r\n│ {'*' * len(secret[70:])} │\r\n│ and words │"
    assert sum(redactor.counts.values()) == 1


@pytest.mark.parametrize("name", ["github", "bearer", "url", "private key"])
def test_long_output_is_searched_in_pieces_without_missing_any(name: str) -> None:
    secret, around = SECRETS[name]
    line = "an ordinary line of a build that goes on and on\r\n"
    pieces = [f"{line * place}{around.format(secret)}\r\n" for place in range(1, 60, 3)] * (WINDOW // 10_000 + 4)
    assert sum(map(len, pieces)) > 3 * WINDOW
    whole = "".join(pieces)
    step = 4093
    frames, redactor = redacted(*(output(whole[at : at + step]) for at in range(0, len(whole), step)))
    assert shown(frames) == whole.replace(secret, "".join("*" if not c.isspace() else c for c in secret))
    assert sum(redactor.counts.values()) == len(pieces)


def test_a_field_with_a_secrets_name_is_masked_whole() -> None:
    tool_input = {"password": "correct-horse-9", "max_tokens": 5, "token_count": "12345", "token": None, "list": ["x"]}
    (frame,), _ = redacted({"type": "tool.start", "data": {"tool": "X", "input": tool_input}})
    assert frame["data"]["input"] == {**tool_input, "password": "[redacted: secret in a field]"}


PIECES = (
    "a",
    " ",
    "\r\n",
    "\x1b[1m",
    "\x1b[5C",
    "\x1b",
    "[",
    "\x1b]0;t\x07",
    "│",
    "ü",
    SECRETS["github"][0],
    "ghp_",
    "0" * 20,
)


@given(st.lists(st.sampled_from(PIECES), max_size=40), st.integers(1, 50))
@example(["\x1b", SECRETS["github"][0]], 1)  # a terminal takes the first letter for the end of an escape
@example(["\x1b", "[", SECRETS["github"][0]], 50)
def test_pieces_of_any_output_keep_their_length_and_lose_every_secret(parts: list[str], size: int) -> None:
    text = "".join(parts)
    frames, _ = redacted(*(output(text[at : at + size]) for at in range(0, len(text), size)))
    assert [len(f["data"]["content"]) for f in frames] == [
        len(text[at : at + size]) for at in range(0, len(text), size)
    ]
    for before, after in zip(text, shown(frames), strict=True):
        assert after in (before, "*")
    assert re.search(rf"(?<!\w){SECRETS['github'][0]}(?!\w)", shown(frames)) is None


@pytest.mark.parametrize("name", SECRETS)
def test_what_stands_around_a_secret_does_not_hide_it(name: str) -> None:
    secret, around = SECRETS[name]
    lines = "an ordinary line\n" * 100
    for text in (f"short\n{around.format(secret)}\n{lines}", f"{lines}{around.format(secret)}\n{lines}"):
        (frame,), _ = redacted(message(text))
        assert secret not in frame["data"]["text"]


def test_a_header_in_a_field_of_its_own_is_masked() -> None:
    headers = {
        "Authorization": f"Bearer {SECRETS['bearer'][0]}",
        "Accept": "text/html",
        "X-Api-Key": SECRETS["basic"][0],
    }
    (frame,), _ = redacted({"type": "tool.start", "data": {"tool": "X", "input": {"headers": headers}}})
    masked = frame["data"]["input"]["headers"]
    assert masked["Authorization"] == "Bearer [redacted: authorization header]"
    assert masked["Accept"] == "text/html"
    assert masked["X-Api-Key"].startswith("[redacted: ")


def test_a_private_key_cut_at_the_end_of_a_text_is_masked() -> None:
    (frame,), _ = redacted(message(KEY[:500]))
    assert frame["data"]["text"] == "[redacted: private key]"


def test_events_that_come_after_the_first_reading_are_left_out() -> None:
    stored = [output("one")]

    def read() -> list[Json]:
        found = list(stored)
        stored.append(output(SECRETS["github"][0]))
        return found

    assert len(list(Redactor().redact(read))) == 1


def test_hostile_texts_take_no_time_to_speak_of() -> None:
    begins = "-----BEGIN PRIVATE KEY-----"
    for text in (
        "a_" * 50_000,
        "token" * 20_000,
        "eyJ" * 50_000 + ".",
        "://" * 30_000,
        begins * 3_000,
        "pwd=" * 20_000,
    ):
        find(text)  # what took quadratic time would not end
