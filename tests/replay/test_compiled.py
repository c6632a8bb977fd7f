"""Compiling where there is no folder to keep machine code in."""

from types import SimpleNamespace

import numba
import numpy as np
import pytest

from recorder import transitions
from recorder.replay import compiled as module
from recorder.replay.compiled import compiled, fingerprint, read_only


def test_without_a_folder_for_machine_code_it_is_compiled_all_the_same(monkeypatch):
    real = numba.njit

    def njit(**options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(module, "numba", SimpleNamespace(njit=njit))

    assert compiled(lambda x: x + 1)(2) == 3


def test_a_read_only_view_cannot_be_written_to_and_its_array_can():
    array = np.zeros(2)
    view = read_only(array)

    array[0] = 1.0

    assert view.tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="read-only"):
        view[1] = 1.0


def test_another_sequence_check_is_another_fingerprint(monkeypatch):
    before = fingerprint()

    monkeypatch.setattr(transitions, "TRANSITIONS", ())

    assert fingerprint() != before
