"""A venue that accepts subscriptions and then says nothing of some.

The simulator does it, over a real socket. The oracle is its own record of
trades and books, and rests on nothing of what is judged.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recorder import open_store
from recorder.capture import silence
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.query.store import Store
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.telemetry import COUNTERS


MARKET, QUIET = "BTC_USDT", "ETH_USDT"
SECOND_NS = 1_000_000_000

Gaps = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge within seconds: here nothing is more than a step behind.

    All frames of a market come over one socket in order, so a slow machine
    makes none of them come before what it tells of.
    """
    monkeypatch.setattr(silence, "LAG_NS", SECOND_NS // 2)
    monkeypatch.setattr(silence, "PATIENCE_NS", SECOND_NS)
    monkeypatch.setattr(silence, "FIRST_PROBE_NS", 4 * SECOND_NS)
    monkeypatch.setattr(silence, "RESTART_FIRST_NS", SECOND_NS // 2)


class Trial:
    """One exchange, recorded into one store until something has happened."""

    def __init__(self, root: Path, source: str, *streams: str) -> None:
        self.root = root
        self.source = source
        self.streams = streams

    async def run(
        self, *faults: str, until: Callable[[Gaps], bool] | None, seconds: float
    ) -> None:
        """Record at most so long, at least until the gaps are as wanted.

        The recorder then goes on for some seconds, to show that rows come.
        """
        settings = Settings(
            markets=(MARKET, QUIET),
            quiet_markets=(QUIET,),
            rate=40.0,
            ticker_seconds=0.25,
            kline_seconds=0.5,
            v3_batch_seconds=0.3,
            faults=tuple(parse(fault) for fault in faults),
        )
        async with Exchange(settings) as exchange:
            is_v3 = self.source.endswith("v3")
            config = CaptureConfig(
                source=self.source,
                markets=(MARKET, QUIET),
                streams=self.streams,
                store=self.root,
                ws_url=exchange.ws_url_v3 if is_v3 else exchange.ws_url_spot,
                rest_url=exchange.rest_url,
                flush_seconds=0.1,
                stop_after_seconds=seconds,
            )
            capture = Capture(plan_capture(config))
            self.exchange = exchange
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(capture.run())
                if until is not None:
                    while not (running.done() or until(self.gaps())):  # noqa: ASYNC110
                        await asyncio.sleep(0.3)
                    await asyncio.sleep(1.5)
                    capture.request_stop()

    @property
    def store(self) -> Store:
        return open_store(self.root)

    def gaps(self) -> Gaps:
        """Return the gaps, but for those of the start and of the end."""
        table = self.store.sql(
            "SELECT market, stream, scope, reason, detail, "
            "epoch_ns(started_at) AS started_at, epoch_ns(ended_at) AS ended_at "
            "FROM gaps WHERE reason NOT IN ('not_started', 'process_stopped') "
            "ORDER BY started_at"
        ).to_arrow_table()
        return table.to_pylist()

    def stale(self) -> list[tuple[str, str]]:
        return sorted(
            {
                (g["market"], g["stream"])
                for g in self.gaps()
                if g["reason"] == "stale_stream"
            }
        )

    def began(self) -> int:
        """Return when the first stream was accepted."""
        return self.store.sql(
            "SELECT min(epoch_ns(ended_at)) FROM gaps WHERE reason = 'not_started'"
        ).fetchall()[0][0]

    def lost_trades(self) -> list[int]:
        """Return trades of the exchange that are neither stored nor in a gap."""
        stored = Counter(
            row[0]
            for row in self.store.sql(
                f"SELECT trade_id FROM trades WHERE market = '{MARKET}'"
            ).fetchall()
        )
        assert not [trade_id for trade_id, n in stored.items() if n > 1]
        gaps = [
            (g["started_at"], g["ended_at"])
            for g in self.store.sql(
                "SELECT epoch_ns(started_at) AS started_at, "
                "epoch_ns(ended_at) AS ended_at FROM gaps "
                f"WHERE scope = 'rows' AND market = '{MARKET}' AND stream = 'trades'"
            )
            .to_arrow_table()
            .to_pylist()
        ]
        began = self.began()
        trades = [t for t in self.exchange.truth.trades_of(MARKET) if t.ts_ns > began]
        assert len(trades) > 50
        # What was sent arrives a moment later.
        transit = SECOND_NS // 2
        return [
            t.trade_id
            for t in trades
            if t.trade_id not in stored
            and not any(
                start <= t.ts_ns + transit and (end is None or t.ts_ns < end)
                for start, end in gaps
            )
        ]


@pytest.fixture
def trial_of(tmp_path: Path) -> Callable[..., Trial]:
    return lambda source, *streams: Trial(tmp_path / "store", source, *streams)


def is_over(stream: str) -> Callable[[Gaps], bool]:
    """Whether a silence of a stream was found and has ended."""
    return lambda gaps: any(
        g["reason"] == "stale_stream"
        and (g["market"], g["stream"]) == (MARKET, stream)
        and g["ended_at"] is not None
        for g in gaps
    )


async def test_trades_that_a_ticker_tells_of_are_stored_or_in_a_gap(trial_of):
    trial = trial_of("gate_spot", "trades", "tickers", "depth")

    await trial.run(
        f"silent_ack:stream=trades,market={MARKET},count=2",
        until=lambda gaps: (
            [g["ended_at"] is None for g in gaps if g["reason"] == "stale_stream"]
            == [False, False]
        ),
        seconds=60,
    )

    assert trial.stale() == [(MARKET, "trades")]
    assert trial.lost_trades() == []
    assert trial.store.sql("SELECT count(*) FROM trades").fetchall()[0][0] > 0


async def test_trades_alone_are_asked_for_again_and_stored_or_in_a_gap(trial_of):
    trial = trial_of("gate_spot", "trades")

    await trial.run(
        f"silent_ack:stream=trades,market={MARKET}",
        until=is_over("trades"),
        seconds=60,
    )

    assert trial.stale() == [(MARKET, "trades")]
    assert trial.lost_trades() == []
    assert trial.store.sql("SELECT count(*) FROM trades").fetchall()[0][0] > 0


@pytest.mark.parametrize(
    ("silent", "stream", "beside"),
    [
        ("tickers", "tickers", "klines:1m"),
        ("klines", "klines:1m", "trades"),
        ("bbo", "bbo", "tickers"),
        ("depth", "depth:100ms", "bbo"),
        ("depth", "depth:100ms", "tickers"),
    ],
)
async def test_each_stream_is_found_silent_by_what_its_market_does(
    trial_of, silent, stream, beside
):
    trial = trial_of("gate_spot", stream, beside)

    await trial.run(
        f"silent_ack:stream={silent},market={MARKET}",
        until=is_over(stream),
        seconds=60,
    )

    assert trial.stale() == [(MARKET, stream)]
    first = next(g for g in trial.gaps() if g["reason"] == "stale_stream")
    rows = trial.store.sql(
        f"SELECT min(epoch_ns(ts_recv)) FROM {silent} WHERE market = '{MARKET}' "
        + ("AND origin = 'live'" if silent == "depth" else "")
    ).fetchall()[0][0]
    # From the acceptance until rows came at last.
    accepted = trial.store.sql(
        "SELECT epoch_ns(ended_at) FROM gaps WHERE reason = 'not_started' "
        f"AND market = '{MARKET}' AND stream = '{stream}'"
    ).fetchall()[0][0]
    assert first["started_at"] == accepted
    assert rows >= first["ended_at"]


async def test_a_book_is_not_shown_while_its_stream_is_silent(trial_of):
    trial = trial_of("gate_spot", "depth", "tickers")

    await trial.run(
        f"silent_ack:stream=depth,market={MARKET}",
        until=is_over("depth:100ms"),
        seconds=60,
    )

    silent = next(g for g in trial.gaps() if g["reason"] == "stale_stream")
    within = (silent["started_at"] + silent["ended_at"]) // 2
    book = trial.store.book_at(source="gate_spot", market=MARKET, at=within)
    assert not book.known
    assert QUIET not in {market for market, _ in trial.stale()}


@pytest.mark.parametrize(
    ("source", "streams"),
    [
        ("gate_spot", ("trades", "tickers", "klines:1m", "bbo", "depth")),
        ("gate_v3", ("trades", "tickers", "klines:1m", "depth")),
    ],
)
async def test_a_market_in_which_nothing_happens_is_no_gap(trial_of, source, streams):
    trial = trial_of(source, *streams)
    probes = COUNTERS["streams_probed_total"]

    await trial.run(until=None, seconds=6.5)

    # The newer protocol sends nothing of it; the older one its latest trades.
    assert (COUNTERS["streams_probed_total"] > probes) == (source == "gate_spot")
    assert [g for g in trial.gaps() if g["scope"] == "rows"] == []
    doubled = trial.store.sql(
        "SELECT market, trade_id FROM trades GROUP BY ALL HAVING count(*) > 1"
    ).fetchall()
    assert doubled == []
