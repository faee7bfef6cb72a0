"""Argument types that several commands share. Raise what argparse turns into a usage error (exit code 2)."""

from __future__ import annotations

import argparse

HIGHEST_PORT = 65535


def port_number(text: str) -> int:
    """A TCP port; 0 is accepted, and means any free one where something is to be served."""
    return _port(text, 0)


def listening_port(text: str) -> int:
    """A TCP port that somebody may listen on: as port_number(), but not 0."""
    return _port(text, 1)


def _port(text: str, lowest: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 5 and lowest <= int(text) <= HIGHEST_PORT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port number: give one from {lowest} to {HIGHEST_PORT}")
