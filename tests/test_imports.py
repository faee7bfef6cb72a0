"""Imports point one way (docs/architecture.md), and each outside library is known in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from support import ROOT

# A part may import parts of the lines below its own, none of its own line. Two names joined by + are one part.
LAYERS = [
    ["__main__"],
    ["cli+commands"],
    ["run", "doctor", "watch"],
    ["session", "client"],
    ["instances", "link", "info", "state_dir"],
    ["launch", "sources", "server", "browser", "info", "logs", "demo"],
    ["feed"],
    ["config", "errors"],
]
KNOWN_IN = {
    "simple_websocket": ("link",),
    "wsproto": ("server", "link"),
    "watchdog": ("sources.watcher",),
    "psutil": ("sources.process", "instances"),
    "pyghostty": ("feed.emulator",),
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


def part(module: str) -> tuple[int, str] | None:
    """Layer and part of a dotted name, with `claude_mpm.` or without; None for what belongs to no part."""
    first = module.removeprefix("claude_mpm.").partition(".")[0]
    return next(((i, p) for i, parts in enumerate(LAYERS) for p in parts if first in p.split("+")), None)


def test_every_module_has_its_place() -> None:
    assert sorted({module for module, _ in imports() if module != "__init__" and part(module) is None}) == []


def test_no_import_runs_back_or_sideways() -> None:
    wrong = []
    for module, name in imports():
        here, there = part(module), part(name) if name.startswith("claude_mpm.") else None
        if here is not None and there is not None and there != here and there[0] <= here[0]:
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
