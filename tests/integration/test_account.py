"""Our own account, recorded from the simulator: every event once, or in a gap.

The oracle is the exchange's own record, which shares nothing with those who
record. A stored row names its connection and its frame by number, as the
record does; so each is held to the very frame that carried it.
"""

import asyncio
import json  # noqa: TID251 - the oracle must not share the recorder's decoder
from collections.abc import Callable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest

from recorder import open_store
from recorder.capture.plan import CaptureResult, plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.simulator.account_truth import AccountChange
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.simulator.truth import FrameSent


MARKETS = ("BTC_USDT", "GT_USDT")
SECOND_NS = 10**9
MARGIN_NS = SECOND_NS // 4
NUMBERS = {
    "price",
    "amount",
    "open_amount",
    "filled_amount",
    "filled_total",
    "fee",
    "available",
    "frozen",
}
TIMES = ("ts_recv", "ts_event", "created_at", "finished_at")

Row = dict[str, Any]


class Trial:
    """One exchange, whose account is recorded until something has happened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.result: CaptureResult | None = None
        self.asked: list[Row] = []

    async def run(
        self,
        *orders: tuple[Callable[[], bool], str | None],
        keys: str = "v3",
        **settings: object,
    ) -> None:
        """Record; whenever something is so, order a fault; with the last, stop."""
        usual = {"rate": 0.0, "markets": MARKETS, "account_seconds": 0.02}
        async with Exchange(
            Settings(log_frames=True, **(usual | settings))
        ) as self.exchange:
            self._listen()
            own = self.exchange.settings
            is_v3 = keys == "v3"
            key, secret = own.v3_keys if is_v3 else own.v3_apiv4_keys
            config = CaptureConfig(
                source="gate_v3",
                markets=MARKETS,
                streams=("orders", "balances"),
                store=self.root,
                options={"keys": keys},
                ws_url=self.exchange.ws_url_v3
                if is_v3
                else self.exchange.ws_url_v3_apiv4,
                flush_seconds=0.1,
            )
            environ = {"GATE_API_KEY": key, "GATE_API_SECRET": secret}
            capture = Capture(plan_capture(config, environ))
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(capture.run())
                for is_so, fault in orders:
                    async with asyncio.timeout(30):
                        while not is_so():  # noqa: ASYNC110 - nobody tells
                            await asyncio.sleep(0.02)
                    if fault:
                        self.exchange.order(parse(fault))
                self.exchange.pause()
                capture.request_stop()
            self.result = running.result()

    def _listen(self) -> None:
        """Note all that the exchange is asked."""
        receive = self.exchange._v3.receive

        def heard(conn: Any, text: str) -> None:
            self.asked.append(json.loads(text))
            receive(conn, text)

        self.exchange._v3.receive = heard  # type: ignore[method-assign]

    def told(self, conn: int, frames: int = 10) -> Callable[[], bool]:
        """Whether a connection was told so much of orders and of balances."""

        def is_so() -> bool:
            streams = [f.stream for f in self.exchange.truth.frames if f.conn == conn]
            return min(streams.count(s) for s in ("orders", "balances")) >= frames

        return is_so

    # What is stored ------------------------------------------------------

    @cache  # noqa: B019 - as long-lived as a test
    def rows(self, table: str) -> list[Row]:
        """Return a table in the order of receipt, connections by number from 1."""
        rows = open_store(self.root).sql(f"SELECT * FROM {table}").to_arrow_table()
        for place, name in enumerate(rows.schema.names):
            if name in TIMES:
                whole = rows.column(place).cast("int64")
                rows = rows.set_column(place, name, whole)
        found = rows.to_pylist()
        for row in found:
            row["conn"] = int(row["conn"].rpartition(".")[2]) + 1
        return sorted(found, key=lambda row: (row["ts_recv"], row["seq"], row["idx"]))

    @cache  # noqa: B019
    def gaps(self, stream: str, market: str | None) -> list[tuple[int, int]]:
        """Return when rows of a chain are missing."""
        found = open_store(self.root).sql(
            "SELECT stream, market, epoch_ns(started_at), epoch_ns(ended_at) "
            "FROM gaps WHERE scope = 'rows'"
        )
        return [
            (start, (1 << 63) if end is None else end)
            for of, about, start, end in found.fetchall()
            if of in (None, stream) and about in (None, market)
        ]

    # What happened -------------------------------------------------------

    def frames(self, stream: str) -> Iterator[tuple[FrameSent, int, Row]]:
        """Yield what was pushed and can be read: frame, place in it, facts."""
        for frame in self.exchange.truth.frames:
            if frame.stream == stream and frame.is_whole:
                for place, facts in enumerate(frame.facts):
                    yield frame, place, as_stored(facts)

    def changes(self, stream: str) -> list[AccountChange]:
        return [
            row
            for row in self.exchange.truth.account
            if row.stream == stream and row.facts["event"] != "start"
        ]

    @cached_property
    def longest_way_ns(self) -> int:
        """How long a row took from the exchange to us at most."""
        sent = {(f.conn, f.n): f.ts_ns for f in self.exchange.truth.frames}
        return max(
            row["ts_recv"] - sent[row["conn"], row["seq"]]
            for table in ("orders", "balances")
            for row in self.rows(table)
        )

    def is_missing(self, stream: str, market: str | None, at_ns: int) -> bool:
        """Whether a gap says that what was sent then is missing."""
        late = at_ns + self.longest_way_ns + MARGIN_NS
        return any(
            start <= late and at_ns < end for start, end in self.gaps(stream, market)
        )


def as_stored(facts: Any) -> Row:
    """What a row must say: numbers as the doubles next to them."""
    return {
        name: float(value) if name in NUMBERS else value
        for name, value in facts.items()
    }


def only(row: Row, names: Row) -> Row:
    return {name: row[name] for name in names}


def check(trial: Trial, stream: str) -> tuple[int, int]:
    """Check every event of a stream; return how many are stored, and in gaps."""
    told = [row for row in trial.rows(stream) if row["event"] not in ("query", "none")]
    places = {(row["conn"], row["seq"], row["idx"]): row for row in told}
    assert len(places) == len(told)

    # What was pushed is stored as it was, once, and nothing else is.
    lost = 0
    for frame, place, facts in trial.frames(stream):
        row = places.pop((frame.conn, frame.n, place), None)
        if row is None:
            lost += 1
            assert trial.is_missing(stream, frame.market, frame.ts_ns), frame
            continue
        assert only(row, facts) == facts
        assert row["market"] == frame.market
    assert places == {}

    # What happened was heard of, or lies in a gap.
    slack = trial.longest_way_ns + MARGIN_NS
    unheard = 0
    for change in trial.changes(stream):
        facts = as_stored(change.facts)
        is_stored = any(
            change.ts_ns <= row["ts_recv"] <= change.ts_ns + slack
            and only(row, facts) == facts
            for row in told
        )
        unheard += not is_stored
        assert is_stored or trial.is_missing(stream, change.market, change.ts_ns)
    return len(told), unheard


def present(trial: Trial, stream: str, conn: int) -> Any:
    """What the last rows of a connection say of the present."""
    rows = [row for row in trial.rows(stream) if row["conn"] == conn]
    state: dict[Any, Any] = {}
    for row in rows:
        if stream == "balances":
            state[row["asset"]] = (row["available"], row["frozen"])
        elif row["event"] == "finish":
            state.pop(row["order_id"], None)
        elif row["event"] != "none":
            state[row["order_id"]] = (row["market"], row["filled_amount"])
    return state


def truth_of(trial: Trial, stream: str) -> Any:
    account = trial.exchange.account
    if stream == "balances":
        return {
            name: (float(kept.available), float(kept.freeze))
            for name, kept in account.balances().items()
        }
    return {
        order.number: (order.market, float(order.filled))
        for market in MARKETS
        for order in account.open_orders(market)
    }


async def test_every_event_of_the_account_is_stored_once_or_lies_in_a_gap(
    tmp_path: Path,
) -> None:
    trial = Trial(tmp_path)
    await trial.run(
        (trial.told(1), "v3_malformed:stream=orders"),
        (trial.told(1, 15), "v3_malformed:stream=balances"),
        (trial.told(1, 20), "v3_abort"),
        (trial.told(2), "v3_abort"),
        (trial.told(3), None),
    )

    for stream in ("orders", "balances"):
        stored, unheard = check(trial, stream)
        assert stored > 35
        assert unheard > 1
        # On each connection the venue was asked how things stand.
        asked = {r["conn"] for r in trial.rows(stream) if r["event"] == "query"}
        assert asked == {1, 2, 3}
        assert present(trial, stream, 3) == truth_of(trial, stream)
    assert trial.result is not None
    assert trial.result.refused == {}


async def test_what_v3_left_out_in_silence_is_mended_by_the_next_answer(
    tmp_path: Path,
) -> None:
    trial = Trial(tmp_path)
    await trial.run(
        (trial.told(1), "v3_drop:stream=orders"),
        (trial.told(1, 13), "v3_drop:stream=balances"),
        (trial.told(1, 16), "v3_abort"),
        (trial.told(2), None),
    )

    for fault in trial.exchange.truth.faults_of("v3_drop"):
        changes = [c for c in trial.changes(fault.stream) if c.ts_ns <= fault.ts_ns]
        dropped = [
            as_stored(c.facts)
            for c in changes
            if (c.ts_ns, c.market) == (changes[-1].ts_ns, fault.market)
        ]
        told = [row for row in trial.rows(fault.stream) if row["event"] != "query"]
        stored = [only(row, facts) == facts for facts in dropped for row in told]
        assert sum(stored) < len(dropped)
    for stream in ("orders", "balances"):
        assert present(trial, stream, 2) == truth_of(trial, stream)


@pytest.mark.parametrize(("code", "keys"), [(2, "v4"), (5, "v3")])
async def test_trouble_of_the_server_delays_the_account_and_loses_nothing(
    tmp_path: Path, code: int, keys: str
) -> None:
    trial = Trial(tmp_path)
    faults = (parse(f"v3_error:code={code}"),)
    await trial.run((trial.told(1), None), faults=faults, keys=keys)

    for stream in ("orders", "balances"):
        check(trial, stream)
        assert present(trial, stream, 1) == truth_of(trial, stream)
    assert [row["method"] for row in trial.asked[:3]] == [
        "server.sign",
        "server.sign",
        "order.subscribe",
    ]


@pytest.mark.parametrize("form", ["empty", "null"])
async def test_many_open_orders_are_asked_for_page_by_page(
    tmp_path: Path, form: str
) -> None:
    trial = Trial(tmp_path)

    def is_asked() -> bool:
        last_page = ["BTC_USDT", 200, 100]
        asked = [(each["method"], each["params"]) for each in trial.asked]
        all_of_them = [] if form == "empty" else None
        return {
            ("order.query", str(last_page)),
            ("balance.query", str(all_of_them)),
        } <= {(method, str(params)) for method, params in asked}

    await trial.run(
        (is_asked, None), account_orders=230, account_seconds=0.0, v3_all=form
    )

    orders = trial.rows("orders")
    own = [order.number for order in trial.exchange.account.open_orders("BTC_USDT")]
    listed = [r for r in orders if r["market"] == "BTC_USDT"]
    assert [row["order_id"] for row in listed] == own
    assert [row["position"] for row in listed] == list(range(230))
    assert {row["open_orders"] for row in listed} == {230}
    assert [r["event"] for r in orders if r["market"] == "GT_USDT"] == ["none"]
    assert present(trial, "balances", 1) == truth_of(trial, "balances")
