#!/usr/bin/env python3
"""Does claude-mpm hold? Half an hour of events, clients that come, go, stall and die, and parts that are killed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from checkout import ROOT, use_checkout

EPILOG = """\
A stand-in for Claude fills the log and then shows 150 lines and writes 50 answers a second. Twenty clients come and
go, one of four groups of them is killed every 20 s, one client stalls, and the process that draws the screen is
killed every 45 s. Memory, descriptors and threads are sampled every 5 s.

It holds if the monitor ends at 64 MiB or less, if the memory of the second half rises by at most 1 MiB in 10 minutes
(runs under 20 minutes: by at most 4 MiB, because the noise is larger than the slope), if descriptors and threads do
not rise, and if all of them are given back once every client has left.

exit code: 0 it holds; 1 it does not, or claude-mpm ended; 2 usage, or it could not be run; 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--minutes", type=float, default=30.0, metavar="N", help="how long (default 30)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw what was sampled, for example docs/soak.svg")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write verdict and samples, for reliability.py")
    chosen = parser.parse_args(argv)
    if not 0.5 <= chosen.minutes <= 24 * 60:
        parser.error("--minutes must be from 0.5 to 1440")

    import psutil
    from benchmarks import soak_verdict
    from benchmarks.soak_run import run

    try:
        result = run(chosen.minutes)
    except KeyboardInterrupt:
        return 130
    except (EOFError, psutil.NoSuchProcess) as error:
        print(f"FAILS  claude-mpm ended during the run: {error}")
        return 1
    except (OSError, LookupError) as error:
        print(f"soak.py: {error}", file=sys.stderr)
        return 2
    checks = soak_verdict.judge(result)
    for check in checks:
        print(f"{'holds' if check.holds else 'FAILS':5}  {check.what}: {check.figure} (limit: {check.limit})")
    if chosen.svg:
        chosen.svg.write_text(soak_verdict.draw(result), encoding="utf-8")
    if chosen.json:
        chosen.json.write_text(json.dumps(soak_verdict.as_json(result, checks), indent=1) + "\n", encoding="utf-8")
    return 0 if all(check.holds for check in checks) else 1


if __name__ == "__main__":
    use_checkout()
    sys.path.insert(1, str(ROOT / "tools"))
    sys.exit(main())
