"""Compiling where there is no folder to keep machine code in."""

from types import SimpleNamespace
from typing import Any

import numba
import pytest

from recorder.store import machine_code as module
from recorder.store.machine_code import compiled


def test_without_a_folder_for_machine_code_it_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = numba.njit

    def njit(**options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(module, "numba", SimpleNamespace(njit=njit))

    assert compiled(lambda x: x + 1)(2) == 3
