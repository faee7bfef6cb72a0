#!/usr/bin/env python3
"""What must hold, what shows it, and the figure: runs the tests, reads bench and soak, prints docs/reliability.md."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from checkout import ROOT, use_checkout

if TYPE_CHECKING:
    from benchmarks.evidence import Outcome

EPILOG = """\
examples:
  bench.py --json /tmp/bench.json; soak.py --json /tmp/soak.json
  reliability.py --bench /tmp/bench.json --soak /tmp/soak.json --write
  reliability.py --junit report.xml       of tests that have run already: pytest --junitxml report.xml

exit code: 0 nothing failed; 1 something failed; 2 usage, or the tests could not be run; 130 interrupted
"""
DOCUMENT = ROOT / "docs" / "reliability.md"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="read this report instead of running the tests")
    parser.add_argument("--bench", type=Path, metavar="FILE", help="what bench.py --json wrote")
    parser.add_argument("--soak", type=Path, metavar="FILE", help="what soak.py --json wrote")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)} instead of printing")
    chosen = parser.parse_args(argv)

    from benchmarks.evidence import Evidence, document, outcomes
    from benchmarks.targets import TARGETS

    try:
        bench, soak = _json(chosen.bench) or [], _json(chosen.soak)
        tests = outcomes(chosen.junit) if chosen.junit else _run_tests()
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print(f"reliability.py: {error}", file=sys.stderr)
        return 2
    evidence = Evidence(tests, bench, soak)
    text = document(TARGETS, evidence)
    if chosen.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    else:
        print(text, end="")
    return 1 if any(evidence.of(target).failed for target in TARGETS) else 0


def _json(path: Path | None) -> Any:
    return None if path is None else json.loads(path.read_text(encoding="utf-8"))


def _run_tests() -> dict[str, list[Outcome]]:
    """Run the tests of the table that exist. OSError if pytest itself fails."""
    from benchmarks.evidence import outcomes
    from benchmarks.targets import TARGETS

    wanted = {test for target in TARGETS for test in target.tests}
    chosen = sorted(test for test in wanted if _exists(test))
    with tempfile.TemporaryDirectory(prefix="claude-mpm-reliability-") as name:
        report = Path(name) / "report.xml"
        argv = [sys.executable, "-m", "pytest", "-q", "--junitxml", str(report), *(f"tests/{test}" for test in chosen)]
        done = subprocess.run(argv, cwd=ROOT, stdout=sys.stderr)
        if done.returncode not in (0, 1):  # 1: some tests failed, which the report says
            raise OSError(f"pytest ended with exit code {done.returncode}")
        return outcomes(report)


def _exists(test: str) -> bool:
    """Whether there is such a test function; pytest refuses to start if one of many is missing."""
    file, _, function = test.partition("::")
    path = ROOT / "tests" / file
    return path.is_file() and f"def {function}(" in path.read_text(encoding="utf-8")


if __name__ == "__main__":
    use_checkout()
    sys.path.insert(1, str(ROOT / "tools"))
    sys.exit(main())
