#!/usr/bin/env python3
"""Print the events of a claude-mpm as lines or as JSON. The same as `claude-mpm watch`."""

from __future__ import annotations

import sys

from checkout import use_checkout

if __name__ == "__main__":
    use_checkout()

    from claude_mpm.cli.watch import main

    sys.exit(main(prog="test_websocket.py"))
