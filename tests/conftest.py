"""What many tests share."""

from pathlib import Path

import pytest
from hypothesis import settings


# How long an example takes says more about the machine than about the code.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings, which lies beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "recordings"
    if not folder.is_dir():
        pytest.skip(f"real recordings are not here: {folder}")
    return folder
