"""Imports point one way, and each outside library is known in one room."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from support import ROOT

# The house: which room may import which. A room may always import itself.
BASE = {"config", "errors"}
ROOMS: dict[str, set[str]] = {
    "__main__": {"cli"},
    "cli": {
        "monitor",
        "archive",
        "archive.export",
        "client",
        "fleet",
        "launch",
        "launch.child",
        "launch.command",
        "server",
        "screen",
        "feed",
    }
    | {"fleet.hub", "fleet.redis", "fleet.redis.read", "fleet.ssh", "system", *BASE},
    "monitor": {"monitor.answers", "launch", "archive", "archive.export", "sources.files", "server", "server.commands"}
    | {"fleet", "fleet.hub", "fleet.notify", "fleet.redis", "fleet.redis.publish", "screen", "feed", "system", *BASE},
    "monitor.answers": {"launch.command", "sources.files", "feed", "system", *BASE},
    "launch": {"launch.child", "launch.channel", "launch.command", "system", *BASE},
    "launch.child": {"launch.channel", "launch.command", "system", *BASE},
    "launch.channel": {"system", *BASE},
    "launch.command": {"system", *BASE},
    "sources.files": {"sources.track", "sources.parse", "feed", "system", *BASE},
    "sources.track": {"sources.parse", "feed", "system", *BASE},
    "sources.parse": {"feed", "system", *BASE},
    "sources": set(),
    "archive": {"sources.files", "sources.track", "sources.parse", "feed", "system", *BASE},
    "archive.export": {"archive", "sources.files", "sources.parse", "feed", "system", *BASE},
    "server": {"server.http", "server.websocket", "server.commands", "feed", "system", *BASE},
    "server.http": {"server.commands", "feed", "system", *BASE},
    "server.websocket": {"server.commands", "feed", "system", *BASE},
    "server.commands": {"feed", "system", *BASE},
    "fleet": {"client", "feed", "system", *BASE},
    "fleet.ssh": {"fleet", "feed", "system", *BASE},
    "fleet.notify": {"feed", "system", *BASE},
    "fleet.redis.publish": {"fleet.redis", "fleet", "client", "feed", "system", *BASE},
    "fleet.redis.read": {"fleet.redis", "fleet", "feed", "system", *BASE},
    "fleet.redis": {"fleet", "client", "feed", "system", *BASE},
    "fleet.hub": {"fleet", "fleet.notify", "server", "server.commands", "feed", "system", *BASE},
    "screen": {"feed", "system", *BASE},
    "client": {"feed", "system", *BASE},
    "demo": set(),
    "feed": {"system", *BASE},
    "system": BASE,
    "config": set(),
    "errors": set(),
}
KNOWN_IN = {
    "simple_websocket": ("client",),
    "wsproto": ("server", "client"),
    "watchdog": ("sources.files",),
    "psutil": ("system",),
    "pyghostty": ("screen",),
    "redis": ("fleet.redis",),
    "asyncio": (),
}


def imports() -> Iterator[tuple[str, str]]:
    """(importing module, imported name), both dotted; ours without `claude_mpm.`."""
    package = ROOT / "claude_mpm"
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((module, name.name) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                yield from ((module, f"{base}.{name.name}") for name in node.names)


def room(name: str) -> str | None:
    """The room of a dotted name, with `claude_mpm.` or without; None for what is in none (the version)."""
    parts = name.removeprefix("claude_mpm.").split(".")
    return next((found for end in (3, 2, 1) if (found := ".".join(parts[:end])) in ROOMS), None)


def test_every_module_is_in_a_room() -> None:
    assert sorted({module for module, _ in imports() if module != "__init__" and room(module) is None}) == []


def test_rooms_import_only_what_the_table_allows() -> None:
    wrong = []
    for module, name in imports():
        here, there = room(module), room(name) if name.startswith("claude_mpm.") else None
        if here is not None and there is not None and there != here and there not in ROOMS[here]:
            wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_each_library_is_known_in_one_place() -> None:
    wrong = []
    for module, name in imports():
        allowed = KNOWN_IN.get(name.partition(".")[0])
        if allowed is not None and not any(f"{module}.".startswith(f"{place}.") for place in allowed):
            wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_no_import_is_relative() -> None:
    assert [f"{module} imports {name}" for module, name in imports() if name.startswith(".")] == []
