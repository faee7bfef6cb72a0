from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import TOKEN, UNHURRIED, get, upgrade

from claude_mpm.config import Config, Limits
from claude_mpm.errors import Refused
from claude_mpm.server.http.handshake import Head, Request, accept, admit

LIMITS = Limits()


def parse(data: bytes, step: int | None = None) -> Request | int | None:
    """The request, the status of the refusal, or None for one that is not whole; fed in pieces of `step`."""
    head = Head(LIMITS)
    step = step or max(len(data), 1)
    try:
        for start in range(0, len(data), step):
            request = head.feed(data[start : start + step])
            if request is not None:
                return request
    except Refused as refused:
        return refused.status
    return None


def both(data: bytes) -> Request | int | None:
    whole = parse(data)
    assert parse(data, 1) == whole
    return whole


def request(data: bytes) -> Request:
    found = both(data)
    assert isinstance(found, Request), found
    return found


def refused(data: bytes, config: Config | None = None, *, public: bool = False) -> int | None:
    """The status it is refused with, None when it is served."""
    found = both(data)
    if not isinstance(found, Request):
        return found
    try:
        admit(found, config or Config(), public=public)
        if found.websocket:
            accept(found)
    except Refused as error:
        assert "\n" not in str(error)
        return error.status
    return None


# --- the head ----------------------------------------------------------------------------------------


def test_a_good_request_is_read_whole_and_byte_by_byte() -> None:
    found = request(get("/events?since=3&types=a,b&since=9", X_One=" a ", x_two="é"))
    assert (found.method, found.path) == ("GET", "/events")
    assert found.query == {"since": "3", "types": "a,b"}
    assert found.headers["x-one"] == ("a",)
    assert found.headers["x-two"] == ("é",)
    assert not found.websocket


def test_what_follows_the_head_is_kept_for_the_frames() -> None:
    head = Head(LIMITS)
    assert head.feed(upgrade() + b"\x81\x80abcd") is not None
    assert head.rest == b"\x81\x80abcd"


def test_an_unfinished_head_is_none() -> None:
    data = upgrade()
    assert both(data[:-1]) is None
    assert both(b"") is None


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.0", b"GET / HTTP/2.0", b"GET / HTTP/1.1 ", b"GET  / HTTP/1.1", b"GET /", b"GET http://localhost/ HTTP/1.1",
        b"GET * HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET /a b HTTP/1.1", b"GET /\x00 HTTP/1.1", b"G\x00T / HTTP/1.1", b"HELLO",
        b"get / HTTP/1.1x",
    ],
)  # fmt: skip
def test_a_bad_request_line_is_400(line: bytes) -> None:
    assert both(line + b"\r\nHost: localhost\r\n\r\n") == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "CONNECT", "PRI", "get"])
def test_other_methods_are_405(method: str) -> None:
    assert both(get("/", method)) == 405


@pytest.mark.parametrize(
    "header",
    [
        b"no colon", b": empty", b"Spaced : x", b" folded: x", b"\tfolded: x", b"Nul: \x00", b"Ctl: \x07", b"Del: \x7f", b"N\xc3: x",
        b"Bare: a\nInjected: b", b"Return: a\rb",
    ],
)  # fmt: skip
def test_a_malformed_header_is_400(header: bytes) -> None:
    assert both(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n") == 400


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"\r\n\r\n",
        b"\x00",
        b"\x81\x80",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"\n",
    ],
)
def test_what_is_not_http_is_refused_before_it_is_whole(data: bytes) -> None:
    assert both(data) == 400


def test_one_host_is_needed() -> None:
    assert both(get("/", Host=None)) == 400
    assert both(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n") == 400


def test_two_origins_are_400() -> None:
    twice = b"Origin: http://localhost\r\n" * 2
    assert both(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + twice + b"\r\n") == 400


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("Content-Length", "5", 400), ("Content-Length", "-1", 400), ("Content-Length", "00", 400), ("Content-Length", "0", None),
        ("Transfer-Encoding", "chunked", 400), ("Transfer-Encoding", "identity", 400),
    ],
)  # fmt: skip
def test_a_body_is_400(name: str, value: str, expected: int | None) -> None:
    assert refused(get("/", **{name: value})) == expected


def test_more_than_16_kib_is_431() -> None:
    def sized(size: int) -> bytes:
        empty = len(get("/", X=""))
        return get("/", X="x" * (size - empty))

    assert isinstance(parse(sized(LIMITS.head_bytes)), Request)
    assert parse(sized(LIMITS.head_bytes + 1)) == 431
    assert parse(b"GET /" + b"x" * LIMITS.head_bytes) == 431
    assert parse(b"GET /" + b"x" * LIMITS.head_bytes, 1000) == 431


def test_more_than_100_headers_is_431() -> None:
    def counted(count: int) -> bytes:
        return get("/", **{f"X{i}": "" for i in range(count - 1)})

    assert isinstance(both(counted(100)), Request)
    assert both(counted(101)) == 431


@settings(UNHURRIED, max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [b"GET / HTTP/1.1", b"\r\n", b"\n", b"\r", b"Host: localhost", b"X", b":", b" ", b"\x00", b"\xff"]
        ),
        max_size=12,
    )
)
def test_chunks_make_no_difference(parts: list[bytes]) -> None:
    both(b"".join(parts))


@settings(UNHURRIED, max_examples=200)
@given(st.binary(max_size=200))
def test_garbage_is_refused_or_unfinished(data: bytes) -> None:
    assert not isinstance(both(data), Request)


# --- where it comes from -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8765", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8765", "LocalHost:80"]
)
def test_this_machine_is_a_good_host(host: str) -> None:
    assert refused(upgrade(Host=host)) is None


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "localhost.evil.example", "evil.localhost", "localhost:", "localhost:x", "localhost:123456", "127.0.0.1.evil.example",
        "127.0.0.11", "127.0.0.2", "127x0x0x1", "::1", "[::1", "[::2]", "localhost:80:80", "localhost@evil", "xlocalhost", "0.0.0.0", "localhost.",
        "192.168.1.2:8765", "localhost, evil", "localhost:²",
    ],
)  # fmt: skip
def test_any_other_host_is_403(host: str) -> None:
    assert refused(upgrade(Host=host)) == 403


def test_a_host_the_user_allows_is_good_on_any_port_and_no_other() -> None:
    config = Config(allow_hosts=("Box.lan", "other:99"))
    assert refused(upgrade(Host="box.lan:8765"), config) is None
    assert refused(upgrade(Host="box.lan"), config) is None
    assert refused(upgrade(Host="other:99"), config) is None
    assert refused(upgrade(Host="other:98"), config) == 403
    assert refused(upgrade(Host="xbox.lan"), config) == 403
    assert refused(upgrade(Host=""), Config(allow_hosts=("",))) == 403


def test_the_address_the_user_listens_on_is_a_good_host() -> None:
    config = Config(host="192.168.1.2", token=TOKEN)
    assert refused(upgrade(f"/?token={TOKEN}", Host="192.168.1.2:8765"), config) is None


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "http://localhost",
        "http://localhost:3000",
        "https://localhost:1",
        "http://127.0.0.1:8765",
        "http://[::1]:8765",
    ],
)
def test_no_origin_and_one_of_this_machine_are_good(origin: str | None) -> None:
    assert refused(upgrade(Origin=origin)) is None


@pytest.mark.parametrize(
    "origin",
    [
        "", "http://evil.example", "http://localhost.evil.example", "http://evil.example/http://localhost", "http://localhost:3000/", "ws://localhost",
        "http://localhost@evil.example", "file://", "chrome-extension://abc", "http://localhost:", "http://127.0.0.1.nip.io", "NULL", "null ,null",
        "http://192.168.1.2:8765", "http://LOCALHOST",
    ],
)  # fmt: skip
def test_any_other_origin_is_403(origin: str) -> None:
    assert refused(upgrade(Origin=origin)) == 403


def test_the_origin_is_never_compared_with_the_requests_own_host() -> None:
    """Under DNS rebinding both are the attacker's."""
    assert refused(upgrade(Host="evil.example:8765", Origin="http://evil.example:8765")) == 403


def test_an_origin_the_user_lists_is_good_exactly() -> None:
    config = Config(allow_origins=("https://my.example",))
    assert refused(upgrade(Origin="https://my.example"), config) is None
    assert refused(upgrade(Origin="https://my.example:444"), config) == 403
    assert refused(upgrade(Origin="https://xmy.example"), config) == 403


def test_the_null_origin_needs_the_token() -> None:
    config = Config(token=TOKEN)
    assert refused(upgrade(Origin="null")) == 403
    assert refused(upgrade(Origin="null"), config) == 403
    assert refused(upgrade("/?token=", Origin="null")) == 403
    assert refused(upgrade(f"/?token={TOKEN}", Origin="null"), config) is None
    assert refused(get("/", Origin="null"), config, public=True) == 403


# --- the token ---------------------------------------------------------------------------------------


def test_with_a_token_everybody_needs_it() -> None:
    config = Config(token=TOKEN)
    assert refused(upgrade(), config) == 401
    assert refused(upgrade(Origin="http://localhost"), config) == 401
    assert refused(get("/status"), config) == 401
    assert refused(get("/"), config, public=True) is None


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        ("/", f"Bearer {TOKEN}"),
        ("/", f"bearer  {TOKEN}"),
        (f"/?token={TOKEN}", None),
        (f"/?x=1&token={TOKEN}", "Basic abc"),
    ],
)
def test_the_token_comes_as_bearer_or_in_the_query(path: str, authorization: str | None) -> None:
    found = request(upgrade(path, Authorization=authorization))
    assert admit(found, Config(token=TOKEN))


@pytest.mark.parametrize(
    ("path", "authorization"),
    [
        ("/", f"Bearer {TOKEN}x"), ("/", f"Bearer {TOKEN[:-1]}"), ("/", "Bearer"), ("/", TOKEN), ("/?token=", None), ("/?token=%ff", None),
        (f"/?token=no&token={TOKEN}", None), (f"/?Token={TOKEN}", None), (f"/?token={TOKEN}", "Bearer no"), ("/?token=%C3%A9%00", None),
    ],
)  # fmt: skip
def test_a_wrong_token_is_not_the_token(path: str, authorization: str | None) -> None:
    assert refused(upgrade(path, Authorization=authorization), Config(token=TOKEN)) == 401


def test_without_a_token_configured_nobody_is_trusted() -> None:
    assert not admit(request(upgrade(f"/?token={TOKEN}")), Config())
    assert not admit(request(upgrade("/?token=")), Config())


def test_the_token_is_in_no_message() -> None:
    for data, config in [
        (upgrade(f"/?token={TOKEN}x"), Config(token=TOKEN)),
        (upgrade(f"/?token={TOKEN}", Origin="http://evil"), Config(token=TOKEN)),
        (upgrade(f"/?token={TOKEN}", Host="evil"), Config(token=TOKEN)),
    ]:
        with pytest.raises(Refused) as error:
            admit(request(data), config)
        assert TOKEN not in str(error.value)


# --- the upgrade -------------------------------------------------------------------------------------


def test_the_accept_key_is_the_one_of_rfc_6455() -> None:
    answer = accept(request(upgrade(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")))
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_extensions_and_subprotocols_are_not_taken_up() -> None:
    answer = accept(request(upgrade(Sec_WebSocket_Extensions="permessage-deflate", Sec_WebSocket_Protocol="x")))
    assert b"Extensions" not in answer and b"Protocol:" not in answer


def test_upgrade_and_connection_are_lists_of_words_in_any_case() -> None:
    assert refused(upgrade(Upgrade="WebSocket", Connection="keep-alive, upgrade")) is None
    assert refused(upgrade(Upgrade="h2c, websocket")) is None


def test_an_upgrade_that_is_none_is_refused() -> None:
    assert refused(upgrade(Connection="keep-alive")) == 400
    assert refused(upgrade(Connection=None)) == 400
    assert refused(upgrade(Sec_WebSocket_Version="8")) == 426
    assert refused(upgrade(Sec_WebSocket_Version=None)) == 426


@pytest.mark.parametrize(
    "key", [None, "", "short", "dGhlIHNhbXBsZSBub25jZQ=", "!" * 24, "é" * 24, "dGhlIHNhbXBsZSBub25jZSE="]
)
def test_a_bad_key_is_400(key: str | None) -> None:
    assert refused(upgrade(Sec_WebSocket_Key=key)) == 400


def test_two_keys_are_400() -> None:
    assert refused(upgrade()[:-2] + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n") == 400


def test_a_head_request_is_no_upgrade() -> None:
    assert not request(upgrade().replace(b"GET", b"HEAD", 1)).websocket
