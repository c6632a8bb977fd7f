"""Real stores, and the command line as it is typed."""

import asyncio
import importlib.util
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from recorder.cli import cli
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
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


NO_TIME = re.compile(r"no time to connect|answered no subscription|did not answer")
LONGER = ("10s", "60s")


@pytest.fixture
def run():
    """Run a command in this process; strings and paths are its words.

    On a busy machine the time that a capture is given may be over before the
    venue answers: then it is given more.
    """

    def run(*words):
        typed = [str(word) for word in words]
        result = CliRunner().invoke(cli, typed)
        for duration in LONGER if "--duration" in typed else ():
            if result.exit_code != 1 or not NO_TIME.search(result.stderr):
                break
            typed[typed.index("--duration") + 1] = duration
            result = CliRunner().invoke(cli, typed)
        return result

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
            timeout=180,
            check=False,
            **how,
        )

    return run_process


class Venue:
    """The local exchange, in a thread of its own."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._ready.wait(20)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with Exchange(Settings(seed=3, rate=40)) as exchange:
            self.ws_url, self.rest_url = exchange.ws_url_spot, exchange.rest_url
            self._ready.set()
            await self._over.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()


@pytest.fixture(scope="module")
def venue():
    venue = Venue()
    yield venue
    venue.close()


@pytest.fixture
def words(venue, tmp_path):
    """The words of a command that would record from the local exchange."""

    def words(*more, streams=("trades",), markets=("BTC_USDT",), source="gate_spot"):
        chosen = [word for market in markets for word in ("-m", market)]
        chosen += [word for stream in streams for word in ("-s", stream)]
        address = ["--ws-url", venue.ws_url, "--rest-url", venue.rest_url]
        store = ["--store", tmp_path / "store"]
        return ["capture", source, *chosen, *address, *store, *more]

    return words


@pytest.fixture
def start():
    processes = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-c", "from recorder.cli import main; main()"]
            + [str(word) for word in words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def _restored_logging():
    root = logging.getLogger()
    before = root.handlers[:], root.level, LOGGER.level
    yield
    root.handlers[:], level, own = before
    root.setLevel(level)
    LOGGER.setLevel(own)
