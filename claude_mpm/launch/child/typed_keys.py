"""Which of the bytes that come from a terminal the user has typed, and which are the terminal's own reports. Pure."""

from __future__ import annotations

import re

# Reports that a terminal sends without a key: device attributes and modes (`c`, `$y`, `n`), the cursor's position
# (`R`), the window's size (`t`), keyboard flags (`?…u`), focus (`I`, `O`), the mouse (`<…M`), and the strings of OSC
# and DCS (xterm's control sequences). Everything else counts as typed, arrow keys too: they recall earlier prompts.
_REPORT = re.compile(
    rb"\x1b\[[?>=]?[\d;]*(?:c|n|R|t|\$y)|\x1b\[\?[\d;]*u|\x1b\[[IO]|\x1b\[<[\d;]*[Mm]|\x1b[\]P_][^\x07\x1b]*(?:\x07|\x1b\\)"
)


def has_keys(data: bytes) -> bool:
    """Whether there is a key among these bytes. A report that was cut in two counts as one."""
    return bool(_REPORT.sub(b"", data))
