from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from claude_mpm.system import heap


def test_glibc_takes_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    real = getattr(ctypes.CDLL(None), "mallopt", None)
    if real is None:
        pytest.skip("not glibc")
    accepted: list[int] = []
    library = SimpleNamespace(mallopt=lambda name, value: accepted.append(real(name, value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    heap.tune_heap()
    assert accepted == [1, 1, 1]


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    heap.tune_heap()


def test_where_no_c_library_can_be_loaded_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str | None) -> None:
        raise OSError("not found")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    heap.tune_heap()
