"""Real stores, and the command line as it is typed."""

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from recorder.cli import cli
from recorder.telemetry import LOGGER


# The stores are made as for the tests of the query layer.
_HOME = Path(__file__).parents[1] / "query" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("query_conftest", _HOME)
_module = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_module)


@pytest.fixture
def maker(tmp_path):
    root = tmp_path / "store"
    root.mkdir()
    return _module.StoreMaker(root)


@pytest.fixture
def run():
    """Run a command in this process; strings and paths are its words."""

    def run(*words):
        return CliRunner().invoke(cli, [str(word) for word in words])

    return run


@pytest.fixture
def run_process():
    """Run a command as a process of its own."""

    def run_process(*words, **how):
        return subprocess.run(
            [sys.executable, "-c", "from recorder.cli import main; main()"]
            + [str(word) for word in words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **how,
        )

    return run_process


@pytest.fixture(autouse=True)
def _restored_logging():
    root = logging.getLogger()
    before = root.handlers[:], root.level, LOGGER.level
    yield
    root.handlers[:], level, own = before
    root.setLevel(level)
    LOGGER.setLevel(own)
