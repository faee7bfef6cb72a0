"""What a pretended tool call returns: `toolUseResult` in the shapes of Claude Code 2.1.330 (its sdk-tools.d.ts)."""

from __future__ import annotations

import difflib
import re
from typing import Any

from claude_mpm.demo.project import FILES
from claude_mpm.demo.story import Step

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


class Results:
    """Makes the results. Remembers the project's files, so that every edit has its diff with the right line numbers."""

    def __init__(self, cwd: str) -> None:
        self._cwd = cwd
        self._files = dict(FILES)

    def given(self, call: Step) -> dict[str, Any]:
        """The call's input as Claude writes it, with an absolute path."""
        path = call.input.get("file_path")
        return {**call.input, "file_path": f"{self._cwd}/{path}"} if path else dict(call.input)

    def result(self, call: Step, text: str, ok: bool) -> Any:
        """The `toolUseResult` of a call that returned `text`."""
        if not ok:
            return f"Error: {text}"
        if call.tool == "Read":
            count = text.count("\n") + 1
            lines = {"numLines": count, "startLine": 1, "totalLines": count}
            return {"type": "text", "file": {"filePath": self.given(call)["file_path"], "content": text, **lines}}
        if call.tool in ("Edit", "MultiEdit", "Write"):
            return self._changed(call)
        if call.tool == "Grep":
            names = text.splitlines()
            return {"mode": "files_with_matches", "filenames": names, "numFiles": len(names)}
        if call.tool == "ToolSearch":
            return {"matches": ["TaskCreate", "TaskUpdate"], "query": call.input["query"], "total_deferred_tools": 17}
        return {"stdout": text, "stderr": "", "interrupted": False, "isImage": False, "noOutputExpected": False}

    def _changed(self, call: Step) -> dict[str, Any]:
        given, path = self.given(call), call.input["file_path"]
        edits, before = given.get("edits") or [given], self._files.get(path)
        after = given.get("content", before or "")
        for edit in edits if "content" not in given else []:
            after = after.replace(edit["old_string"], edit["new_string"], 1)
        self._files[path] = after
        hunks = [] if before is None else patch(before, after)  # a new file has none, as in Claude's records
        common = {"filePath": given["file_path"], "originalFile": before, "structuredPatch": hunks}
        if call.tool == "Write":
            return {"type": "create" if before is None else "update", "content": after, **common}
        if call.tool == "MultiEdit":  # a tool of 1.0; 2.1 no longer offers it, and monitors must show it all the same
            return {**common, "edits": [{**edit, "replace_all": False} for edit in edits], "userModified": False}
        strings = {"oldString": given["old_string"], "newString": given["new_string"]}
        return {**common, **strings, "userModified": False, "replaceAll": False}


def patch(before: str, after: str) -> list[dict[str, Any]]:
    """The hunks that lead from one text to the other, with three lines of context, as `structuredPatch` has them."""
    hunks: list[dict[str, Any]] = []
    for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm=""))[2:]:
        if match := _HUNK.match(line):
            old, old_count, new, new_count = (int(number or 1) for number in match.groups())
            counts = {"oldStart": old, "oldLines": old_count, "newStart": new, "newLines": new_count}
            hunks.append({**counts, "lines": []})
        else:
            hunks[-1]["lines"].append(line)
    return hunks
