"""Secrets of many kinds, and texts that only resemble them."""

from __future__ import annotations

import random
import string

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
    "option": (made(20), "tool --api-key {} --verbose"),
    "option=": (made(20), "tool --auth-token='{}'"),
    "query": (made(20), "https://host.internal/path?access_token={}&b=1"),
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
    "tool --max-tokens 4096 --token-file keys/file1 --token TOKEN --password-store=basic1234 --secret $SECRET1",
    "https://host/?page_token=2&tokens=12345678a",
    "ey, they.eyed.me and eyJhbGciOi without its parts",
)
