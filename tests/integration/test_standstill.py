"""A real process that is stopped for a while and goes on: SIGSTOP, SIGCONT."""

import asyncio
import signal
import sys

import msgspec

from recorder.capture.clock_watch import STANDSTILL_NS
from recorder.query.store import open_store
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


PROGRAM = "from recorder.cli import main; main()"
MARKETS = ("BTC_USDT", "ETH_USDT")


async def until(process, event):
    """Read the log up to an event."""
    async for line in process.stderr:
        if msgspec.json.decode(line)["event"] == event:
            return
    raise AssertionError(f"the log ended without {event}")


async def test_a_process_that_stood_still_goes_on_and_loses_no_connection(tmp_path):
    async with Exchange(Settings(seed=3, rate=20)) as exchange:
        words = ["capture", "gate_spot", *(f"-m{market}" for market in MARKETS)]
        words += ["-s", "trades", "--store", str(tmp_path / "store"), "--json-logs"]
        words += ["--ws-url", exchange.ws_url_spot, "--rest-url", exchange.rest_url]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, *words, stderr=asyncio.subprocess.PIPE
        )
        try:
            await until(process, "ChainsSubscribed")
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(STANDSTILL_NS / 1e9 + 1)
            process.send_signal(signal.SIGCONT)
            await until(process, "ProcessStoodStill")
            rest = asyncio.ensure_future(process.stderr.read())
            await asyncio.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
            log = await rest
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    for event in (b"ConnectionClosed", b"StreamRestarted"):
        assert event not in log
    missing = open_store(tmp_path / "store").sql(
        "SELECT DISTINCT reason FROM gaps_log WHERE reason <> 'not_started'"
    )
    # It was stopped before it was sure that nothing is missing, and says so.
    reasons = {reason for (reason,) in missing.fetchall()}
    assert reasons
    assert reasons <= {"backpressure", "process_stopped"}
