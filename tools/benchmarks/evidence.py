"""From what ran to one row of docs/reliability.md each: shown, failed, or not shown and why."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.targets import Target

PASSED, FAILED = "passed", "failed"
SOAK_MINUTES = 30  # the target's; a shorter run can fail it but not show it
INTRODUCTION = """\
# What must hold, and what shows it

Printed by `python3 tools/reliability.py --write`; do not edit it by hand. Each row names a situation, what must hold in
it, what was run, and what that gave. "Not shown" means that nothing was run that would show it.

Tests assert what happens and in which order; they wait for it with a deadline and assert no times. The figure beside
them is the time of the slowest, which bounds every wait in it. Some tests shorten a limit of the server (pings,
handshakes, sends that make no progress) so as not to wait for it: they show that the limit acts; its default is in
`claude_mpm/config.py`.

| # | situation | must hold | result | what ran | again |
|---|---|---|---|---|---|
"""

PICTURE = """
![Memory, descriptors and threads during the soak](soak.svg)

`python3 tools/soak.py --svg docs/soak.svg` draws it.
"""


class Outcome(NamedTuple):
    """How one run of a test ended, and its seconds, set-up included."""

    result: str  # PASSED, FAILED, or the reason why it was skipped
    seconds: float


@dataclass(frozen=True)
class Finding:
    """What is known of one target. `ran` and `again` are Markdown; `result` says shown, FAILED or not shown."""

    result: str
    ran: str = ""
    again: str = ""
    failed: bool = False


class Evidence:
    """Outcomes of tests, rows of bench.py and the result of soak.py, and what they mean for a target."""

    def __init__(
        self, tests: Mapping[str, Sequence[Outcome]], bench: Sequence[Mapping[str, Any]], soak: Mapping[str, Any] | None
    ) -> None:
        self._tests, self._bench, self._soak = tests, bench, soak

    @property
    def soaked(self) -> bool:
        return self._soak is not None

    def of(self, target: Target) -> Finding:
        """What is known of a target; one line of the result for each kind of evidence, and one for what has none."""
        parts = []
        if target.tests:
            parts.append(self._of_tests(target))
        if target.bench:
            parts.append(self._of_bench(target))
        if target.soak:
            parts.append(self._of_soak())
        if not parts:
            return Finding(f"not shown: {target.gap}" if target.gap else "not shown")
        result = "<br>".join(part.result for part in parts)
        return Finding(
            f"{result}<br>not shown: {target.gap}" if target.gap else result,
            "<br>".join(part.ran for part in parts if part.ran),
            "<br>".join(f"`{part.again}`" for part in parts),
            any(part.failed for part in parts),
        )

    def _of_tests(self, target: Target) -> Finding:
        ran, again = "<br>".join(f"`{test}`" for test in target.tests), _pytest(target.tests)
        missing = [test for test in target.tests if test not in self._tests]
        found = [outcome for test in target.tests for outcome in self._tests.get(test, ())]
        failed = [outcome for outcome in found if outcome.result == FAILED]
        skipped = [outcome.result for outcome in found if outcome.result not in (PASSED, FAILED)]
        if failed:
            return Finding(f"FAILED: {len(failed)} of {len(found)} tests", ran, again, failed=True)
        if missing:
            return Finding(f"not shown: {len(missing)} of {len(target.tests)} tests did not run", ran, again)
        if skipped:
            return Finding(f"not shown: skipped, {skipped[0]}", ran, again)
        slowest = max(outcome.seconds for outcome in found)
        passed = f"{len(found)} tests passed, the slowest" if len(found) > 1 else "1 test passed"
        return Finding(f"shown: {passed} in {slowest:.1f} s", ran, again)

    def _of_bench(self, target: Target) -> Finding:
        ran, again = f"`tools/bench.py {target.bench}`", f"python3 tools/bench.py {target.bench}"
        rows = [
            row for row in self._bench if row["measurement"] == target.bench and row["what"].startswith(target.only)
        ]
        judged = [row for row in rows if row["met"] is not None]
        if not judged:
            return Finding("not shown: not measured", ran, again)
        missed = [row for row in judged if not row["met"]]
        figures = "<br>".join(f"{row['what']}: {row['compared'] or row['figure']}" for row in missed or judged)
        if missed:
            return Finding(f"FAILED: {len(missed)} of {len(judged)} figures<br>{figures}", ran, again, failed=True)
        return Finding(f"shown:<br>{figures}", ran, again)

    def _of_soak(self) -> Finding:
        ran, again = "`tools/soak.py`", "python3 tools/soak.py"
        if self._soak is None:
            return Finding("not shown: not run", ran, again)
        checks = [check for check in self._soak["checks"] if self._soak["holds"] or not check["holds"]]
        figures = "<br>".join(f"{check['what']}: {check['figure']}" for check in checks)
        minutes = f"{self._soak['minutes']:g} minutes"
        if not self._soak["holds"]:
            return Finding(f"FAILED in {minutes}:<br>{figures}", ran, again, failed=True)
        if self._soak["minutes"] < SOAK_MINUTES:
            return Finding(f"not shown: it held, but for {minutes} only", ran, again)
        return Finding(f"shown in {minutes}:<br>{figures}", ran, again)


def _pytest(tests: Iterable[str]) -> str:
    return f"bin/test {' '.join(f'tests/{test}' for test in tests)}"


def outcomes(report: Path) -> dict[str, list[Outcome]]:
    """The outcomes of each test function in a JUnit report, by node id without parameters and without tests/.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not XML.
    """
    try:
        root = ElementTree.parse(report).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{report} is not a JUnit report: {error}") from None
    found: dict[str, list[Outcome]] = {}
    for case in root.iter("testcase"):
        module = case.get("classname", "").removeprefix("tests.")
        test = f"{module}.py::{case.get('name', '').partition('[')[0]}"
        found.setdefault(test, []).append(_outcome(case))
    return found


def _outcome(case: ElementTree.Element) -> Outcome:
    seconds = float(case.get("time", "0"))
    if case.find("failure") is not None or case.find("error") is not None:
        return Outcome(FAILED, seconds)
    skipped = case.find("skipped")
    return Outcome(PASSED if skipped is None else skipped.get("message") or "no reason given", seconds)


def document(targets: Iterable[Target], evidence: Evidence) -> str:
    """The whole of docs/reliability.md."""
    lines = []
    for target in targets:
        found = evidence.of(target)
        cells = (str(target.number), target.situation, target.must_hold, found.result, found.ran, found.again)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n")
    return INTRODUCTION + "".join(lines) + (PICTURE if evidence.soaked else "")
