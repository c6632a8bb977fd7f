"""What compiled functions are given, and what they are kept by."""

import numpy as np
import pytest

from recorder import transitions
from recorder.replay.compiled import fingerprint, read_only


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
