"""A real capture against servers that mean harm, in short.

``scripts/soak hostile`` has all attacks.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from trials.hostile.attacks import attacks


ROOT = Path(__file__).resolve().parents[2]

SOME = (
    *("market list", "frame of 1 GB", "10^6 pairs", "price NaN", "market names"),
    *("id 2^63 - 2", "long close", "redirect of the handshake", "endless headers"),
    *("certificate: expired", "snapshot, a gzip bomb", "snapshot with cookies"),
)


@pytest.mark.timeout(900)
def test_what_a_server_does_on_purpose_ends_no_recording():
    assert all(any(words in one.name for one in attacks()) for words in SOME)
    only = [part for words in SOME for part in ("--only", words)]

    finished = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "soak"), "hostile", *only],
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "everything held" in finished.stdout
