"""Secrets are masked wherever they stand, split or coloured; ordinary text is left as it is."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from claude_mpm.archive.redact import WINDOW, Redactor
from claude_mpm.archive.secrets import find

Json = dict[str, Any]
_letters = random.Random(7)


def made(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(_letters.choice(alphabet) for _ in range(length))


KEY = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *(made(64) for _ in range(25)), "-----END RSA PRIVATE KEY-----"])
# Put together here, so that no scanner of repositories takes this file for a leak.
SECRETS: dict[str, tuple[str, str]] = {
    "anthropic": ("sk-ant-" + "api03-" + made(93) + "AA", "{}"),
    "anthropic oauth": ("sk-ant-" + "oat01-" + made(93) + "AA", "token {} was used"),
    "openai": ("sk-" + "proj-" + made(48), "key: {}"),
    "github": ("ghp_" + made(36), "git clone with {}"),
    "github fine-grained": ("github_pat_" + made(22) + "_" + made(59), "({})"),
    "slack": ("xoxb-" + "123456789012-123456789012-" + made(24), "SLACK={}"),
    "aws": ("AKIA" + made(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), "id {}."),
    "aws secret": (made(40), "AWS_SECRET_ACCESS_KEY={}"),
    "google": ("AIza" + made(35), "?key={}&q=1"),
    "npm": ("npm_" + made(36), "//registry.npmjs.org/:_authToken={}"),
    "pypi": ("pypi-" + "AgEIcHlwaS5vcmc" + made(60), "password = {}"),
    "jwt": ("eyJ" + made(20) + ".ey" + made(40) + "." + made(43), "session={};"),
    "private key": (KEY, "{}"),
    "url": ("hunter2pass", "postgres://admin:{}@db.internal:5432/app"),
    "bearer": (made(32), "curl -H 'Authorization: Bearer {}' https://api.internal/"),
    "basic": ("dXNlcjpodW50ZXIycGFzcw==", "Authorization: Basic {}"),
    "x-api-key": (made(32), '-H "x-api-key: {}"'),
    ".env": ("correct-horse-9", "DB_PASSWORD={}"),
    ".env quoted": ("tr0ub4dor&3 x".replace(" ", "-"), 'export STRIPE_SECRET="{}"'),
    ".env odd": ("x$9(Kd)}w]", "API_TOKEN={}"),
    ".env dollar": ("$ecretPass1", "API_TOKEN='{}'"),
    "code": (made(24), 'api_key = "{}"'),
    "json": (made(24), '{{"client_secret": "{}"}}'),
    "json in json": (made(24), '{{\\"access_token\\":\\"{}\\"}}'),
    "yaml": (made(20), "services:\n  password: {}\n  port: 5432"),
}

NEAR_MISSES = (
    "max_tokens=4096 TOKEN_LIMIT=100000 PASSWORD_FILE=/run/secrets/db",
    "API_KEY=$OTHER_KEY SECRET=${SECRET} TOKEN=<your-token> PASSWORD=****** API_KEY=your-api-key-here",
    'token = get_token(request)\npassword = os.environ["DB_PASSWORD"]',
    "def login(user: str, password: str) -> None:",
    'parser.add_argument("--token", metavar="TOKEN", help="a secret that every client must present")',
    "TOKEN=$(cat token) PASSWORD=%(password)s SECRET=@SECRET@ API_KEY=xxxxxxxxxxxxxxxx API_KEY=process.env.API_KEY",
    "API_KEY={{ api_key }} SECRET=settings.get('secret') PASSWORD=(none)",
    "Authorization: Bearer $TOKEN",
    "Authorization: Bearer <token>",
    "curl -H 'Authorization: Bearer ${GITHUB_TOKEN}'",
    "http://localhost:8765/ and http://[::1]:8765/#/s/1 and ssh://host:22/path",
    "git@github.com:owner/name.git, mailto:somebody@example.org, https://user@host/path",
    "AKIAIOSFODNN7EXAMPLE",
    "sk-learn, sk-ant, ghp_ and xoxb- are prefixes",
    "commit 3f2a9d1c5b7e8f0a1b2c3d4e5f60718293a4b5c6, sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "session 7f870ad2-b29f-4c1e-981e-4f7e2da2e45a, toolu_01ABCDEFGHJKLMNPQRSTUVWX, msg_01ABCDEFGHJKLMNPQRSTUVWX",
    "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUabc\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----",
    "The password is required. Tokens: 1234. The secret: patience.",
    "password: string\ntoken: undefined\nsecret: null",
    "key: value, primary_key: id, keyboard=qwertyuiop1, monkey = banana123",
    "ey, they.eyed.me and eyJhbGciOi without its parts",
)


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
