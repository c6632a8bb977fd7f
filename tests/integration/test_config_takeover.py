"""All feeds of a file are taken over, one by one, and then the file as a whole."""

import asyncio

import pytest

from recorder.capture import takeover
from recorder.capture.feeds import plan_feeds
from recorder.capture.many import Captures
from recorder.errors import JobRunningError
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.job_lock import check_job
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows


FILE = """\
flush = "100ms"

[[source]]
source = "gate_spot"
markets = ["BTC_USDT"]
streams = ["trades", "depth"]
ws_url = "{spot}"
rest_url = "{rest}"

[[source]]
source = "gate_v3"
markets = ["BTC_USDT"]
streams = ["trades"]
ws_url = "{v3}"
rest_url = "{rest}"

[[source]]
source = "gate_spot"
name = "{third}"
markets = ["ETH_USDT"]
streams = ["trades"]
ws_url = "{spot}"
rest_url = "{rest}"
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Nothing is behind here, so a moment is long enough."""
    monkeypatch.setattr(takeover, "SETTLE_SECONDS", 0.05)


class File:
    """A configuration file, and captures of it."""

    def __init__(self, path, exchange):
        self.path = path
        self._urls = {
            "spot": exchange.ws_url_spot,
            "v3": exchange.ws_url_v3,
            "rest": exchange.rest_url,
        }

    def captures(self, stop, third="third", **how):
        self.path.write_text(FILE.format(**self._urls, third=third))
        feeds = plan_feeds(self.path, {})
        return Captures(feeds, stop=stop, **how)


async def until(is_so):
    while not is_so():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(0.02)


def has_all(captures):
    return len(captures._running) == 3 and all(
        c._take_over._is_live() and not c.is_beside for c in captures._running
    )


@pytest.mark.parametrize("third", ["third", "another"], ids=["same", "a feed renamed"])
async def test_every_feed_of_a_file_is_taken_over(tmp_path, third):
    root = tmp_path / "data"
    stop, stop_first = asyncio.Event(), asyncio.Event()
    async with Exchange(Settings(seed=5, rate=60)) as exchange:
        file = File(tmp_path / "jobs.toml", exchange)
        first = file.captures(stop_first)
        leaving = asyncio.ensure_future(first.run())
        await until(lambda: has_all(first))
        second = file.captures(stop, third, takes_over=True)
        with pytest.raises(JobRunningError, match="another is taking it over"):
            file.captures(stop, takes_over=True)
        going = asyncio.ensure_future(second.run())
        outcomes = await leaving
        await until(lambda: has_all(second) and second._whole.lock is not None)
        with pytest.raises(JobRunningError):
            check_job(root, "jobs")
        stop.set()
        outcomes += await going

    assert not stop_first.is_set() or third == "another"
    assert [outcome.error for outcome in outcomes] == [None] * 6
    assert [outcome.result.failure for outcome in outcomes] == [None] * 6
    check_job(root, "jobs")
    missing = [
        (gap.job, gap.reason)
        for gap in newest_revisions(plain_rows(open_listing(root).read("gaps")))
        if gap.scope == "rows" and gap.ended_at != gap.started_at
    ]
    jobs = {"jobs.gate_spot", "jobs.gate_v3", "jobs.third", f"jobs.{third}"}
    chains = {job: 2 if job == "jobs.gate_spot" else 1 for job in jobs}
    assert sorted(missing) == sorted(
        (job, reason)
        for job, count in chains.items()
        for reason in ("not_started", "process_stopped")
        for _ in range(count)
    )
