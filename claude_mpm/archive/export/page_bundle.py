"""The monitor page as one file: its modules in one inline script, its styles in one inline element, nothing to load.

The page's modules are our own, and use a small part of the language's module syntax: named imports and `import * as`, and
exports of functions, classes and constants, each at the beginning of a line. Each module becomes a function that returns its
exports, in an order in which every module comes after those it imports. Whatever else appears is an error, which a test
finds before a user does. Any thread; blocks on the disk.
"""

from __future__ import annotations

import base64
import hashlib
import html
import posixpath
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PAGE = Path(__file__).parents[2] / "page"
ENTRY = "main.js"
DATA_BEGINS, DATA_ENDS = b'<script type="application/json" id="session-events">"', b'"</script>'

_IMPORT = re.compile(
    r'^import\s+(?:\{(?P<names>[^}]*)\}|\*\s+as\s+(?P<all>\w+))\s+from\s+"(?P<path>[^"]+)";[^\S\n]*$', re.MULTILINE
)
_RE_EXPORT = re.compile(r'^export\s+\{(?P<names>[^}]*)\}\s+from\s+"(?P<path>[^"]+)";[^\S\n]*$', re.MULTILINE)
_EXPORT = re.compile(r"^export\s+(?=(?:async\s+)?(?:function\*?|class|const)\s+(?P<name>[\w$]+))", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b.*|\bimport\s*\(\s*[^\"'\s)].*|\bimport\.meta\b.*", re.MULTILINE)
_STYLE = re.compile(r'<link rel="stylesheet" href="page/(?P<path>[\w./-]+)">\n?')
_SCRIPT = re.compile(r'<script type="module" src="page/(?P<path>[\w./-]+)"></script>\n?')


class BundleError(ValueError):
    """The page uses something that the bundler does not know."""


def page(title: str, data: bytes, directory: Path = PAGE) -> Iterator[bytes]:
    """The page with `data` inside, in pieces.

    `data` stands in `<script type="application/json" id="session-events">`. It must not hold `<`; base64 does not. The
    content security policy admits the page's own script and styles by their hashes, and no network at all.

    Raises:
        BundleError: the page cannot be made into one file.
    """
    index = (directory / "index.html").read_text("utf-8")
    entry = _SCRIPT.search(index)
    if entry is None:
        raise BundleError("index.html has no module script")
    script = modules(directory, entry["path"])
    style = "".join((directory / found["path"]).read_text("utf-8") for found in _STYLE.finditer(index))
    if "</" in style or re.search(r"@import|url\((?!['\"]?data:)", style):
        raise BundleError("a style sheet would load something or end its element")
    policy = f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy)}">\n'
    inline = f'<style>{style}</style>\n<script type="module">{script}</script>\n'
    index = _SCRIPT.sub(lambda _: inline, _STYLE.sub("", index), count=1)
    index = re.sub(r'(<meta charset="utf-8">\n)', lambda found: found[1] + head, index, count=1)
    index = re.sub(r"<title>[^<]*</title>", lambda _: f"<title>{html.escape(title)}</title>", index, count=1)
    body, end, rest = index.rpartition("</body>")
    if head not in body or not end:
        raise BundleError("index.html has no charset or no body")
    yield body.encode() + DATA_BEGINS
    yield data
    yield DATA_ENDS + f"\n{end}{rest}".encode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def modules(directory: Path, entry: str = ENTRY) -> str:
    """One script that does what the module `entry` and all it imports do.

    Raises:
        BundleError: a module uses other syntax than described above, or two import each other.
    """
    order: dict[str, str] = {}
    _visit(directory, entry, order, [])
    script = "".join(order.values())
    if "</script" in script.lower() or "<!--" in script:
        raise BundleError("a module holds text that would end the script element")
    return script


def _visit(directory: Path, path: str, order: dict[str, str], importing: list[str]) -> None:
    """Add the modules that `path` imports, then `path` itself, to `order`."""
    if path in order:
        return
    if path in importing:
        raise BundleError(f"modules import each other: {' → '.join([*importing, path])}")
    try:
        text = (directory / path).read_text("utf-8")
    except OSError as error:
        raise BundleError(f"{path}, imported by {importing[-1:]}: {error}") from None
    for pattern in (_IMPORT, _RE_EXPORT):
        for found in pattern.finditer(text):
            _visit(directory, _resolve(path, found["path"]), order, [*importing, path])
    order[path] = _function(path, text)


def _resolve(importer: str, path: str) -> str:
    if not path.startswith("."):
        raise BundleError(f"{importer} imports {path}, which is not one of the page's modules")
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))


def _function(path: str, text: str) -> str:
    """The module as a function that runs at once, and whose result is named after it."""
    exports = [(found["name"], found["name"]) for found in _EXPORT.finditer(text)]
    for found in _RE_EXPORT.finditer(text):
        module = _variable(_resolve(path, found["path"]))
        exports += [(outside, f"{module}.{inside}") for inside, outside in _names(found["names"])]
    text = _RE_EXPORT.sub("", text)
    text = _IMPORT.sub(lambda found: _bindings(path, found), text)
    text = _EXPORT.sub("", text)
    code = re.sub(r"/\*.*?\*/|^\s*//[^\n]*", "", text, flags=re.DOTALL | re.MULTILINE)  # comments may name anything
    if unknown := _LEFT_OVER.search(code):
        raise BundleError(f"{path}: this cannot be put into one file: {unknown[0]}")
    returned = ", ".join(outside if outside == inside else f"{outside}: {inside}" for outside, inside in exports)
    return f"// {path}\nconst {_variable(path)} = (() => {{\n{text}\nreturn {{ {returned} }};\n}})();\n"


def _bindings(path: str, found: re.Match[str]) -> str:
    module = _variable(_resolve(path, found["path"]))
    if found["all"]:
        return f"const {found['all']} = {module};"
    names = (inside if inside == outside else f"{inside}: {outside}" for inside, outside in _names(found["names"]))
    return f"const {{ {', '.join(names)} }} = {module};"


def _names(clause: str) -> Iterable[tuple[str, str]]:
    """`a, b as c` as [(a, a), (b, c)]."""
    for name in filter(None, (part.strip() for part in clause.split(","))):
        inside, _, outside = name.partition(" as ")
        yield inside.strip(), (outside or inside).strip()


def _variable(path: str) -> str:
    return "$" + re.sub(r"\W", "_", path)
