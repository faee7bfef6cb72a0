"""The fixtures of the cases with the real claude: one version, one API, one world or two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from messages_api import MessagesApi
from real_cli import World, require_namespace, script, versions


@pytest.fixture(scope="session", autouse=True)
def isolated() -> None:
    require_namespace()


@pytest.fixture(params=versions())
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def api(version: str) -> Iterator[MessagesApi]:
    with MessagesApi(script()) as running:
        yield running


@pytest.fixture
def world(version: str, api: MessagesApi, tmp_path: Path) -> World:
    return World(version, api, tmp_path / "home", tmp_path / "project")


@pytest.fixture
def worlds(version: str, api: MessagesApi, tmp_path: Path) -> tuple[World, World]:
    """Two homes, one project: what two runs write is comparable."""
    project = tmp_path / "project"
    return World(version, api, tmp_path / "alone", project), World(version, api, tmp_path / "watched", project)
