"""Which modes a program has switched on in a terminal, and how to switch them off again. Pure."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    rb"\x1b\[(?:\?(?P<modes>[0-9;]+)(?P<set>[hl])|>(?P<push>[0-9;]*)u|<(?P<pop>[0-9]*)u|>4(?:;(?P<keys>[0-9]*))?m)"
)
_UNFINISHED = re.compile(rb"\x1b(?:\[[?<>]?[0-9;]{0,64})?\Z")
# Modes that hurt the shell when a program dies and leaves them on: mouse, focus, bracketed paste, synchronized
# output, theme reports, application cursor keys, alternate screens.
_OFF_AFTER = frozenset(
    {1, 9, 47, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1047, 1049, 2004, 2026, 2031}
)
_ALTERNATE = frozenset({47, 1047, 1049})
_CURSOR = 25


class ModeTracker:
    """Tracks the modes a program has switched on in the terminal and not switched off again.

    Pure: bytes in, bytes out. Modes and names: xterm's ctlseqs, kitty's keyboard protocol.
    """

    def __init__(self) -> None:
        self._rest = b""  # a sequence whose end has not come yet
        self._forget()

    def _forget(self) -> None:
        self._on: set[int] = set()
        self._cursor_hidden = False
        self._keyboard_pushes = 0
        self._modify_keys = False

    def feed(self, data: bytes) -> None:
        """Note the modes in a piece of output. Pieces may be of any size."""
        if b"\x1b" not in data and not self._rest:
            return
        data = self._rest + data
        for match in _SEQUENCE.finditer(data):
            if match["modes"] is not None:
                self._modes(match["modes"], match["set"] == b"h")
            elif match["push"] is not None:
                self._keyboard_pushes += 1
            elif match["pop"] is not None:
                self._keyboard_pushes = max(self._keyboard_pushes - int(match["pop"] or b"1"), 0)
            else:
                self._modify_keys = match["keys"] not in (None, b"", b"0")
        unfinished = _UNFINISHED.search(data)
        self._rest = unfinished[0] if unfinished else b""

    def _modes(self, numbers: bytes, on: bool) -> None:
        for number in (int(n) for n in numbers.split(b";") if n and len(n) < 8):
            if number == _CURSOR:
                self._cursor_hidden = not on
            elif number in _OFF_AFTER:
                (self._on.add if on else self._on.discard)(number)

    def undo(self) -> bytes:
        """The bytes that switch off what is still on; empty if the program cleaned up after itself."""
        parts = []
        if self._keyboard_pushes:
            parts.append(b"\x1b[<%du" % self._keyboard_pushes)
        if self._modify_keys:
            parts.append(b"\x1b[>4;0m")
        parts += [b"\x1b[?%dl" % mode for mode in sorted(self._on - _ALTERNATE)]
        parts += [b"\x1b[?%dl" % mode for mode in sorted(self._on & _ALTERNATE)]
        if self._cursor_hidden:
            parts.append(b"\x1b[?25h")
        if parts:
            parts.append(b"\x1b[0m")
        self._forget()
        return b"".join(parts)
