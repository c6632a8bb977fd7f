"""Jobs of one store that are killed together and started again together."""

import asyncio
import signal
import sys
from itertools import pairwise

import msgspec
import pytest

from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.revisions import plain_rows
from recorder.store.runfile import read_run_files


ROUNDS = 4
JOBS = {
    "one": ("gate_spot", ["trades", "tickers"], ["BTC_USDT", "ETH_USDT"]),
    "two": ("gate_spot", ["trades"], ["BTC_USDT"]),
    "three": ("gate_v3", ["trades", "tickers"], ["BTC_USDT", "ETH_USDT"]),
    "four": ("gate_v3", ["klines:1m"], ["ETH_USDT"]),
}
PROGRAM = "from recorder.cli import main; main()"


async def command(*words):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *map(str, words), stderr=asyncio.subprocess.PIPE
    )


def capture(root, exchange, job):
    source, streams, markets = JOBS[job]
    words = [f"-m{market}" for market in markets] + [f"-s{s}" for s in streams]
    words += ["--ws-url", exchange.ws_urls[source], "--rest-url", exchange.rest_url]
    words += ["--store", root, "--job", job, "--flush", "100ms", "--rotate", "1s"]
    return command("capture", source, *words, "--json-logs")


async def subscribed(process, wanted):
    """Wait until so many chains are being recorded; then keep the pipe empty."""
    said = b""
    async for line in process.stderr:
        said += line
        log = msgspec.json.decode(line)
        if log["event"] == "ChainsSubscribed":
            wanted -= log["facts"]["markets"]
            if wanted <= 0:
                break
    else:
        pytest.fail(said.decode())
    return asyncio.ensure_future(process.stderr.read())


async def covering(root):
    """Wait until every run has put down that it covers all its chains."""
    wanted = {
        job: len(streams) * len(markets) for job, (_, streams, markets) in JOBS.items()
    }
    while True:
        covered = {
            run.job: sum(
                interval.ended_at is None and run.covered_until(interval) > start
                for interval in run.state.intervals
                if (start := interval.started_at)
            )
            for run in read_run_files(root)
        }
        if covered == wanted:
            return
        await asyncio.sleep(0.05)


async def one_round(root, exchange):
    """Start all at once, a recovery too; let them record; kill them."""
    *processes, recovery = await asyncio.gather(
        *(capture(root, exchange, job) for job in JOBS),
        command("recover", "--store", root),
    )
    try:
        pipes = await asyncio.gather(
            *(
                subscribed(process, len(streams) * len(markets))
                for process, (_, streams, markets) in zip(
                    processes, JOBS.values(), strict=True
                )
            )
        )
        _, err = await recovery.communicate()
        await covering(root)
    finally:
        for process in processes:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.wait()
    await asyncio.gather(*pipes)
    assert recovery.returncode == 0, err.decode()


def judge(root, job, market, stream):
    """Check that every instant of a chain is in one row, and say in which kinds."""
    listing = open_listing(root)
    covered = [
        (row["started_at"], row["ended_at"])
        for row in plain_rows(listing.read("coverage"))
        if (row["job"], row["market"], row["stream"]) == (job, market, stream)
    ]
    gaps = {}
    for row in plain_rows(listing.read("gaps")):
        is_mine = row["market"] in (None, market) and row["stream"] in (None, stream)
        is_mine = is_mine and row["job"] == job and row["scope"] == "rows"
        is_newer = row["gap_id"] not in gaps or row["ended_at"] is not None
        if is_mine and is_newer:
            gaps[row["gap_id"]] = row
    forever = 1 << 63
    missing = [(g["started_at"], g["ended_at"] or forever) for g in gaps.values()]
    spans = sorted(span for span in covered + missing if span[0] < span[1])
    for (_, end), (start, _) in pairwise(spans):
        assert start == end
    assert spans[-1][1] == forever
    assert [g["reason"] for g in gaps.values()].count("not_started") == 1
    assert [g["reason"] for g in gaps.values()].count("process_killed") == ROUNDS
    assert len(covered) >= ROUNDS


@pytest.mark.timeout(300)
async def test_jobs_that_are_killed_and_started_together_tell_the_truth(tmp_path):
    root = tmp_path / "store"
    root.mkdir()
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        for _ in range(ROUNDS):
            await one_round(root, exchange)
    recover(root)

    for job, (_, streams, markets) in JOBS.items():
        for market in markets:
            for stream in streams:
                judge(root, job, market, stream)
