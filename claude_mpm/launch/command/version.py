"""Which version of Claude an executable is, without running it: starting one takes a second."""

from __future__ import annotations

import os
import re
from pathlib import Path

from claude_mpm.system.files import read_file
from claude_mpm.system.json_text import loads

Version = tuple[int, int, int]

PACKAGE = "@anthropic-ai/claude-code"
PACKAGE_BYTES = 1024 * 1024
_NUMBERS = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})")


def installed_version(executable: Path) -> Version | None:
    """The version of an installed claude: of its npm package, or of its file's name, which is how the native installer
    keeps them (`…/claude/versions/2.1.330`). None if neither tells."""
    real = Path(os.path.realpath(executable))
    for directory in real.parents[:2]:
        try:
            package = loads(read_file(directory / "package.json", PACKAGE_BYTES)[0])
        except (OSError, ValueError):
            continue
        if isinstance(package, dict) and package.get("name") == PACKAGE:
            return _parse(str(package.get("version")))
    return _parse(real.name)


def _parse(words: str) -> Version | None:
    found = _NUMBERS.match(words)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
