"""The long trials in short: ``scripts/soak`` has the long forms."""

import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "trial",
    [
        ("faults", "--minutes", "0.4", "--seed", "3"),
        ("kills", "--count", "8", "--seed", "4"),
        ("crashes", "--count", "60", "--seed", "7"),
        ("crons", "--count", "2", "--seed", "7", "--kill"),
        ("handovers", "--count", "2", "--rate", "300", "--seed", "5"),
        (
            *("handovers", "--count", "2", "--rate", "300", "--seed", "6"),
            *("--seconds-after-notice", "0"),
        ),
    ],
    ids=["faults", "kills", "crashes", "crons", "handovers", "upgrades at once"],
)
def test_nothing_is_lost_in_silence_and_no_known_book_is_wrong(trial):
    finished = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "soak"), *trial],
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "everything held" in finished.stdout
    assert "FAIL" not in finished.stdout
