"""A run of several feeds is killed, recovered, and stopped: every instant is told."""

import asyncio
import signal
import sys
from itertools import pairwise

import msgspec
import pytest

from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.listing import open_listing
from recorder.store.revisions import plain_rows
from recorder.store.runfile import read_run_files


PROGRAM = "from recorder.cli import main; main()"
FILE = """\
flush = "100ms"
rotate = "1s"

[[source]]
source = "gate_spot"
markets = ["*_USDT", "!GT*"]
streams = ["trades", "tickers"]
ws_url = "{spot}"
rest_url = "{rest}"

[[source]]
source = "gate_v3"
markets = ["BTC_USDT"]
streams = ["trades", "tickers"]
ws_url = "{v3}"
rest_url = "{rest}"

[[source]]
source = "gate_spot"
name = "refused"
markets = ["NOPE_USDT"]
streams = ["trades"]
ws_url = "{spot}"
rest_url = "{rest}"
"""
CHAINS = {
    (job, market, stream)
    for job, markets in {
        "jobs.gate_spot": ("BTC_USDT", "ETH_USDT"),
        "jobs.gate_v3": ("BTC_USDT",),
    }.items()
    for market in markets
    for stream in ("trades", "tickers")
}


async def start(path, *more):
    words = ["capture", "--config", path, *more]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, *map(str, words)),
        stderr=asyncio.subprocess.PIPE,
    )


async def covering(root, process):
    """Wait until every chain is put down as covered by a run that lives."""
    while True:
        assert process.returncode is None
        covered = {
            (run.job, interval.market, interval.stream)
            for run in read_run_files(root)
            for interval in run.state.intervals
            if run.pid == process.pid
            and interval.ended_at is None
            and run.covered_until(interval) > interval.started_at
        }
        if covered == CHAINS:
            return
        await asyncio.sleep(0.05)


def judge(root):
    """Check that every instant of a chain is in one row, and return the kinds."""
    listing = open_listing(root)
    spans = {chain: [] for chain in CHAINS}
    for row in plain_rows(listing.read("coverage")):
        key = (row["job"], row["market"], row["stream"])
        spans[key].append((row["started_at"], row["ended_at"], "covered"))
    newest = {}
    for row in plain_rows(listing.read("gaps")):
        if row["gap_id"] not in newest or row["ended_at"] is not None:
            newest[row["gap_id"]] = row
    for gap in newest.values():
        for job, market, stream in CHAINS:
            is_mine = gap["market"] in (None, market) and gap["stream"] in (
                None,
                stream,
            )
            if is_mine and gap["job"] == job and gap["scope"] == "rows":
                end = gap["ended_at"] or 1 << 63
                spans[job, market, stream].append(
                    (gap["started_at"], end, gap["reason"])
                )
    kinds = {}
    for chain, found in spans.items():
        whole = sorted(span for span in found if span[0] < span[1])
        for (_, end, _), (begin, _, _) in pairwise(whole):
            assert begin == end, chain
        assert whole[-1][1] == 1 << 63
        kinds[chain] = [kind for _, _, kind in whole]
    return kinds


@pytest.mark.timeout(200)
async def test_feeds_that_are_killed_together_tell_the_truth_each(tmp_path):
    root, path = tmp_path / "data", tmp_path / "jobs.toml"
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        urls = {"spot": exchange.ws_url_spot, "v3": exchange.ws_url_v3}
        path.write_text(FILE.format(**urls, rest=exchange.rest_url))
        await killed(root, path)
        process = await start(path, "--json-logs")
        reading = asyncio.ensure_future(process.stderr.read())
        await covering(root, process)
        process.send_signal(signal.SIGTERM)
        err = await reading
        await process.wait()

    assert process.returncode == 1, err.decode()
    lines = [msgspec.json.decode(line) for line in err.splitlines()]
    recovered = [x["facts"]["job"] for x in lines if x["event"] == "RunRecovered"]
    assert sorted(recovered) == ["jobs.gate_spot", "jobs.gate_v3"]
    assert "refused: the venue refused trades of NOPE_USDT" in err.decode()
    assert not list(root.glob(".recorder/runs/*"))
    for kinds in judge(root).values():
        assert (kinds[0], kinds[-1]) == ("not_started", "process_stopped")
        assert kinds.count("process_killed") == 1
        assert kinds.index("covered") < kinds.index("process_killed")


async def killed(root, path):
    """Start all feeds, see that a second start ends, and kill the first."""
    process = await start(path, "--json-logs")
    reading = asyncio.ensure_future(process.stderr.read())
    try:
        await covering(root, process)
        second = await start(path)
        _, said = await second.communicate()
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await reading
    assert second.returncode == 75
    assert said.decode().startswith(
        f"Error: job 'jobs' is already running (process {process.pid}, since "
    )
