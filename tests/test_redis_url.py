from __future__ import annotations

import pytest

from claude_mpm.errors import UsageError
from claude_mpm.fleet.redis.url import PASSWORD_VARIABLE, RedisUrl, parse_url, password_in


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("redis://host", RedisUrl("host", 6379, 0, None, None, False, None), "redis://host/0"),
        ("redis://:p%40w@host:7000/3", RedisUrl("host", 7000, 3, None, "p@w", False, None), "redis://host:7000/3"),
        (
            "rediss://me:pw@[::1]:6380/?ssl_ca_certs=/ca.pem",
            RedisUrl("::1", 6380, 0, "me", "pw", True, "/ca.pem"),
            "rediss://[::1]:6380/0",
        ),
    ],
)
def test_a_url_is_read_and_shown_without_its_password(text: str, url: RedisUrl, shown: str) -> None:
    assert tuple(parse_url(text, {})) == tuple(url)
    assert parse_url(text, {}).shown == shown
    assert url.password is None or url.password not in repr(parse_url(text, {}))


def test_the_password_may_be_in_the_environment_and_that_of_the_url_wins() -> None:
    environ = {PASSWORD_VARIABLE: "from-environment"}
    assert parse_url("redis://me@host", environ).password == "from-environment"
    assert parse_url("redis://me:mine@host", environ).password == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "", "host", "http://:hunter2@host", "redis://", "redis://:hunter2@", "redis://:hunter2@host:port",
        "redis://:hunter2@host:99999", "redis://:hunter2@host/db", "redis://:hunter2@host/1/2", "redis://host/\u0661",
        "redis://:hunter2@host?db=1", "redis://:hunter2@host#1", "redis://:hunter2@ho st", "redis://[::1", "redis://a\nb",
    ],
)  # fmt: skip
def test_what_is_no_such_url_is_one_line_that_repeats_no_password(text: str) -> None:
    with pytest.raises(UsageError) as told:
        parse_url(text, {})
    assert "redis://" in str(told.value)
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)


def test_the_password_is_found_as_it_is_written() -> None:
    assert password_in("redis://me:p%40w@host") == "p%40w"
    assert password_in("redis://me@host") is None
    assert password_in("redis://[") is None
