"""Ghostty's terminal emulator (pyghostty, an optional package): a terminal's output in, pictures out.

The emulator's callbacks are never set, so a query in the output gets no reply, nothing reaches a clipboard, and no file
that the output names is opened. Run as a program (see emulator_process.py), this module takes the size as arguments and
reads requests from stdin, one JSON array per line: ["feed", text], ["resize", rows, cols], ["picture"]. Only `picture`
is answered on stdout, with one JSON object per line.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, TextIO

from claude_mpm.screen.pictures import Line, Picture, Style, bounded

MAX_TITLE = 256  # characters
MAX_GRAPHEME = 64  # bytes; the longest emoji sequences take 41. Beyond it, combining marks are dropped
SCROLLBACK = 500  # lines kept above the screen; they come back when the terminal grows
CACHED = 4096  # decoded cells, and as many decoded styles, that are remembered
GRAPHEME_CLUSTERS = 2027  # DEC private mode: 👩‍🚀 takes two cells, as Claude assumes, and not four
SYNCHRONIZED = 2026  # DEC private mode: the program is in the middle of a repaint
_UNSEEN = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
)  # control characters, and those that change the direction of text
_FLAGS = (("b", "bold"), ("i", "italic"), ("u", "underline"), ("s", "strikethrough"), ("r", "inverse"), ("d", "faint"))
_PLAIN: Style = {}

_Cell = tuple[str | None, int, Any]  # its text (None: look it up), its width, and what its style depends on


def available() -> bool:
    """Whether pyghostty is installed. Does not load it. Any thread."""
    return find_spec("pyghostty") is not None


class Emulator:
    """One terminal. For one thread. close() frees it; no method may be called afterwards.

    Raises:
        ImportError, OSError: pyghostty is not installed or its library does not load.
        RuntimeError: the emulator failed (any method).
    """

    def __init__(self, rows: int, cols: int) -> None:
        import pyghostty
        from pyghostty.core import init_sized

        self._ffi = ffi = pyghostty.ffi
        self._lib = lib = pyghostty.lib
        self._terminal = pyghostty.Terminal(cols, rows, scrollback=SCROLLBACK)
        self._state = ffi.new("GhosttyRenderState*")
        self._rows = ffi.new("GhosttyRenderStateRowIterator*")
        self._cells = ffi.new("GhosttyRenderStateRowCells*")
        _check(lib.ghostty_render_state_new(ffi.NULL, self._state))
        _check(lib.ghostty_render_state_row_iterator_new(ffi.NULL, self._rows))
        _check(lib.ghostty_render_state_row_cells_new(ffi.NULL, self._cells))
        self._view = ffi.new("GhosttyCellsView*")
        self._style = init_sized("GhosttyStyle")
        self._utf8 = ffi.new("uint8_t[]", MAX_GRAPHEME)
        self._buffer = ffi.new("GhosttyBuffer*", {"ptr": self._utf8, "cap": MAX_GRAPHEME, "len": 0})
        self._known_cells: dict[int, _Cell] = {}
        self._known_styles: dict[bytes, tuple[Style, bool]] = {}
        self._lines: list[Line] = []
        clusters = ffi.new("GhosttyTerminalModeConfig*", {"mode": GRAPHEME_CLUSTERS, "value": True})
        _check(lib.ghostty_terminal_set(self._terminal._t[0], lib.GHOSTTY_TERMINAL_OPT_MODE_DEFAULT, clusters))

    def close(self) -> None:
        """Free the emulator's memory."""
        lib = self._lib
        lib.ghostty_render_state_row_cells_free(self._cells[0])
        lib.ghostty_render_state_row_iterator_free(self._rows[0])
        lib.ghostty_render_state_free(self._state[0])
        self._terminal.close()

    def feed(self, text: str) -> None:
        """Write output to the terminal; it may be cut anywhere. Releases the interpreter lock while it works."""
        self._terminal.feed(text.encode("utf-8", "replace"))

    def resize(self, rows: int, cols: int) -> None:
        """Give the terminal another size."""
        self._terminal.resize(cols, rows)

    @property
    def is_held(self) -> bool:
        """Whether the program is in the middle of a repaint that it asked not to be shown (synchronized output)."""
        return bool(self._terminal.mode(SYNCHRONIZED))

    def picture(self) -> Picture:
        """What the terminal shows now. Only the rows that changed since the last picture are read."""
        terminal = self._terminal
        cols, rows = terminal.size
        self._read_lines(rows)
        col, row = terminal.cursor
        cursor = {"row": row, "col": col, "visible": bool(terminal.get("cursor_visible", "bool"))}
        return Picture(cols, rows, cursor, self._title(), list(self._lines))

    def _title(self) -> str | None:
        title = self._terminal.get("title", "GhosttyString")
        data: bytes = self._ffi.buffer(title.ptr, title.len)[:] if title.len else b""
        return data.decode("utf-8", "replace").translate(_UNSEEN)[:MAX_TITLE] or None

    def _read_lines(self, rows: int) -> None:
        ffi, lib, state = self._ffi, self._lib, self._state[0]
        _check(lib.ghostty_render_state_update(state, self._terminal._t[0]))
        dirty = ffi.new("GhosttyRenderStateDirty*")
        _check(lib.ghostty_render_state_get(state, lib.GHOSTTY_RENDER_STATE_DATA_DIRTY, dirty))
        if dirty[0] == lib.GHOSTTY_RENDER_STATE_DIRTY_FALSE:
            return
        _check(lib.ghostty_render_state_get(state, lib.GHOSTTY_RENDER_STATE_DATA_ROW_ITERATOR, self._rows))
        if dirty[0] == lib.GHOSTTY_RENDER_STATE_DIRTY_PARTIAL and len(self._lines) == rows:
            row = ffi.new("uint16_t*")
            while lib.ghostty_render_state_row_iterator_next_dirty(self._rows[0], row):
                self._lines[row[0]] = bounded(self._line(), rows)
        else:
            self._lines = []
            while lib.ghostty_render_state_row_iterator_next(self._rows[0]):
                self._lines.append(bounded(self._line(), rows))
        _check(lib.ghostty_render_state_clean(state))

    def _line(self) -> Line:
        """The runs of the row at the iterator."""
        lib, row = self._lib, self._rows[0]
        _check(lib.ghostty_render_state_row_get(row, lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS_RAW, self._view))
        _check(lib.ghostty_render_state_row_get(row, lib.GHOSTTY_RENDER_STATE_ROW_DATA_CELLS, self._cells))
        raws = self._ffi.unpack(self._view.ptr, self._view.len)
        cells = [self._known_cells.get(raw) or self._cell(raw) for raw in raws]
        runs = _Runs()
        styles: dict[Any, tuple[Style, bool]] = {}  # a style's number means nothing outside its row
        for col, (text, width, key) in enumerate(cells):
            if width == 0 and col > 0 and cells[col - 1][1] == 2:
                continue
            if width == 0 or (width == 2 and (col + 1 == len(cells) or cells[col + 1][1] != 0)):
                text, width = " ", 1  # a resize cut a wide character in half
            if key not in styles:
                styles[key] = self._style_at(col) if isinstance(key, int) else ({"bg": key[0]}, False)
            style, hidden = styles[key]
            if hidden:
                runs.add(" " * width, style)
                continue
            if text is None:
                text = self._grapheme_at(col, raws[col])
            runs.add(text, style, width if width == 2 or len(text) > 1 else None)
        return runs.line()

    def _cell(self, raw: int) -> _Cell:
        """Decode a cell's 64 bits. Apart from the style's number, they mean the same in every row."""
        lib = self._lib
        kind = self._cell_get(raw, lib.GHOSTTY_CELL_DATA_CONTENT_TAG, "GhosttyCellContentTag*")[0]
        key: Any = self._cell_get(raw, lib.GHOSTTY_CELL_DATA_STYLE_ID, "uint16_t*")[0]
        wide = self._cell_get(raw, lib.GHOSTTY_CELL_DATA_WIDE, "GhosttyCellWide*")[0]
        text: str | None = " "
        if kind == lib.GHOSTTY_CELL_CONTENT_CODEPOINT:
            text = self._codepoint(raw)
        elif kind == lib.GHOSTTY_CELL_CONTENT_CODEPOINT_GRAPHEME:
            text = None
        elif kind == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_PALETTE:
            key = (self._cell_get(raw, lib.GHOSTTY_CELL_DATA_COLOR_PALETTE, "uint8_t*")[0],)
        elif kind == lib.GHOSTTY_CELL_CONTENT_BG_COLOR_RGB:
            key = (_hex(self._cell_get(raw, lib.GHOSTTY_CELL_DATA_COLOR_RGB, "GhosttyColorRgb*")[0]),)
        width = {lib.GHOSTTY_CELL_WIDE_WIDE: 2, lib.GHOSTTY_CELL_WIDE_SPACER_TAIL: 0}.get(wide, 1)
        if len(self._known_cells) >= CACHED:
            self._known_cells.clear()
        cell = self._known_cells[raw] = (text, width, key)
        return cell

    def _cell_get(self, raw: int, key: int, ctype: str) -> Any:
        value = self._ffi.new(ctype)
        _check(self._lib.ghostty_cell_get(raw, key, value))
        return value

    def _codepoint(self, raw: int) -> str:
        code = self._cell_get(raw, self._lib.GHOSTTY_CELL_DATA_CODEPOINT, "uint32_t*")[0]
        return chr(code).translate(_UNSEEN) or " "

    def _grapheme_at(self, col: int, raw: int) -> str:
        """All code points of a cell, or only the first if they take more than MAX_GRAPHEME bytes."""
        lib = self._lib
        _check(lib.ghostty_render_state_row_cells_select(self._cells[0], col))
        result = lib.ghostty_render_state_row_cells_get(
            self._cells[0], lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_GRAPHEMES_UTF8, self._buffer
        )
        if result == lib.GHOSTTY_OUT_OF_SPACE:
            return self._codepoint(raw)
        _check(result)
        data: bytes = self._ffi.buffer(self._utf8, self._buffer.len)[:]
        return data.decode("utf-8", "replace").translate(_UNSEEN) or " "

    def _style_at(self, col: int) -> tuple[Style, bool]:
        """The style of the cell at `col`, and whether its text is hidden."""
        lib, style = self._lib, self._style
        _check(lib.ghostty_render_state_row_cells_select(self._cells[0], col))
        _check(
            lib.ghostty_render_state_row_cells_get(self._cells[0], lib.GHOSTTY_RENDER_STATE_ROW_CELLS_DATA_STYLE, style)
        )
        key = bytes(self._ffi.buffer(style))
        known = self._known_styles.get(key)
        if known is None:
            if len(self._known_styles) >= CACHED:
                self._known_styles.clear()
            known = self._known_styles[key] = (self._style_of(style), bool(style.invisible))
        return known

    def _style_of(self, style: Any) -> Style:
        colors = {"fg": self._color(style.fg_color), "bg": self._color(style.bg_color)}
        shown: dict[str, Any] = {name: color for name, color in colors.items() if color is not None}
        return shown | {name: True for name, field in _FLAGS if getattr(style, field)}

    def _color(self, color: Any) -> int | str | None:
        if color.tag == self._lib.GHOSTTY_STYLE_COLOR_PALETTE:
            return int(color.value.palette)
        return _hex(color.value.rgb) if color.tag == self._lib.GHOSTTY_STYLE_COLOR_RGB else None


class _Runs:
    """Joins neighbouring cells of one style into runs."""

    def __init__(self) -> None:
        self._line: list[tuple[str, Style]] = []
        self._parts: list[str] = []
        self._style = _PLAIN

    def add(self, text: str, style: Style, width: int | None = None) -> None:
        """Add a cell. One that is not a single code point in a single cell gives its `width` and becomes a run of its own."""
        if width is not None:
            self._end()
            self._line.append((text, {**style, "w": width}))
            return
        if style is not self._style and style != self._style:
            self._end()
            self._style = style
        self._parts.append(text)

    def line(self) -> Line:
        """The runs, without trailing blanks."""
        self._end()
        if self._line and not self._line[-1][1]:
            text = self._line.pop()[0].rstrip(" ")
            if text:
                self._line.append((text, _PLAIN))
        return self._line

    def _end(self) -> None:
        if self._parts:
            self._line.append(("".join(self._parts), self._style))
            self._parts = []


def _hex(rgb: Any) -> str:
    return f"#{rgb.r:02x}{rgb.g:02x}{rgb.b:02x}"


def _check(result: int) -> None:
    if result:
        raise RuntimeError(f"the terminal emulator failed with {result}")


def serve(rows: int, cols: int, requests: Iterable[str], replies: TextIO) -> None:
    """Execute requests until they end. If the emulator fails, the last reply says why."""
    try:
        emulator = Emulator(rows, cols)
        for line in requests:
            name, *values = json.loads(line)
            if name == "feed":
                emulator.feed(*values)
            elif name == "resize":
                emulator.resize(*values)
            else:
                print(json.dumps(asdict(emulator.picture()) | {"is_held": emulator.is_held}), file=replies, flush=True)
    except Exception as error:  # of any kind: the parent process must learn the reason
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=replies, flush=True)


if __name__ == "__main__":
    os.nice(10)  # drawing a picture must not slow down Claude
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.stdin, sys.stdout)
