"""The futures side of the exchange, stepped through time by hand."""

import json  # noqa: TID251 - the oracle must not share the simulator's decoder
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from recorder.simulator.connection import Context, Push
from recorder.simulator.faults import FaultPlan, parse
from recorder.simulator.futures_side import FuturesSide
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Truth


START_NS = 1_700_000_040_000_000_000
STEP_NS = 10**8
Frame = dict[str, Any]


class Reader:
    """Stands for a connection: keeps what it is pushed."""

    number = 1
    feed = "futures"

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.answers: list[Frame] = []

    def push(self, push: Push) -> bool:
        self.pushes.append(push)
        return True

    def reply(self, payload: bytes) -> None:
        self.answers.append(json.loads(payload))

    def of(self, stream: str) -> list[tuple[Push, Frame]]:
        return [(p, json.loads(p.payload)) for p in self.pushes if p.stream == stream]


class ByHand:
    """A clock that is set."""

    def __init__(self, at_ns: int) -> None:
        self.at_ns = at_ns

    def now_ns(self) -> int:
        return self.at_ns


class Stage:
    """A futures side whose time goes on when it is told."""

    def __init__(self, *faults: str, **settings: Any) -> None:
        given = {"contracts": ("ETH_USDT",), "rate": 50.0, "warmup_events": 300}
        self.truth = Truth()
        self.clock = ByHand(START_NS)
        context = Context(
            clock=self.clock,
            plan=FaultPlan(map(parse, faults), seed=1, start_ns=0),
            truth=self.truth,
            counters=Counter(),
        )
        self.side = FuturesSide(Settings(**(given | settings)), context, START_NS)
        for market in self.side.engine.markets.values():
            self.truth.watch(market)

    async def reader(
        self, *requests: tuple[str, list[str]], header: str = "1"
    ) -> Reader:
        reader: Any = Reader()
        request: Any = SimpleNamespace(
            headers={"X-Gate-Size-Decimal": header}, match_info={"settle": "usdt"}
        )
        feed = self.side.feed_for(request)
        assert feed is not None
        feed.opened(reader)
        for channel, payload in requests:
            frame = {
                "channel": f"futures.{channel}",
                "event": "subscribe",
                "payload": payload,
            }
            await feed.receive(reader, json.dumps(frame))
        assert {a["result"]["status"] for a in reader.answers} <= {"success"}
        return reader

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10**9 / STEP_NS)):
            now_ns = self.clock.at_ns = self.clock.at_ns + STEP_NS
            self.side.publish(now_ns, self.side.advance(now_ns))


async def test_a_frame_holds_the_kline_that_closed_and_the_new_one():
    stage = Stage(kline_seconds=1.5, rate=200.0)
    reader = await stage.reader(
        ("candlesticks", ["10s", "ETH_USDT"]),
        ("candlesticks", ["10s", "mark_ETH_USDT"]),
    )
    stage.run(21.0)

    pairs = [
        frame["result"] for _, frame in reader.of("klines") if len(frame["result"]) > 1
    ]
    assert len(pairs) >= 2
    for closed, fresh in pairs:
        assert fresh["t"] == closed["t"] + 10
        assert (closed["w"], fresh["w"]) == (True, False)
    names = {row["n"] for _, frame in reader.of("klines") for row in frame["result"]}
    assert names == {"10s_ETH_USDT", "10s_mark_ETH_USDT"}
    assert {push.parameter for push in reader.pushes} == {"10s", "mark.10s"}


async def test_facts_of_klines_are_what_their_frames_say():
    stage = Stage(kline_seconds=0.1)
    reader = await stage.reader(
        ("candlesticks", ["1m", "ETH_USDT"]), ("candlesticks", ["1m", "index_ETH_USDT"])
    )
    stage.run(5.0)

    assert len(reader.of("klines")) > 20
    for push, frame in reader.of("klines"):
        for row, fact in zip(frame["result"], push.facts, strict=True):
            assert fact == {
                "open_at": row["t"] * 10**9,
                "open": row["o"],
                "high": row["h"],
                "low": row["l"],
                "close": row["c"],
                "volume": row["v"],
                "turnover": None,
                "turnover_base": row["a"],
                "is_closed": row["w"],
            }


async def test_every_other_ticker_tells_only_what_keeps_changing():
    stage = Stage(ticker_seconds=0.2)
    reader = await stage.reader(("tickers", ["ETH_USDT"]))
    stage.run(3.0)
    told = reader.of("tickers")

    assert len(told) > 10
    for number, (push, frame) in enumerate(told):
        [row], [fact] = frame["result"], push.facts
        is_partial = number % 2 == 1
        assert ("total_size" not in row) is is_partial
        assert {"last", "mark_price", "index_price", "funding_rate"} < row.keys()
        assert fact == {
            "last": row["last"],
            "bid": None,
            "ask": None,
            "open": None,
            "high": row.get("high_24h"),
            "low": row.get("low_24h"),
            "change_pct": row.get("change_percentage"),
            "base_volume": row.get("volume_24h"),
            "quote_volume": row.get("volume_24h_quote"),
            "mark_price": row["mark_price"],
            "index_price": row["index_price"],
            "turnover_base": row.get("volume_24h_base"),
            "turnover_settle": row.get("volume_24h_settle"),
            "turnover_btc": row.get("volume_24h_btc"),
            "turnover_usd": row.get("volume_24h_usd"),
            "funding_rate": row["funding_rate"],
            "funding_rate_indicative": row["funding_rate_indicative"],
            "funding_interval_s": row["funding_interval"],
            "funding_offset_s": row["funding_offset"],
            "funding_next_at": row["funding_next_apply"] * 10**9,
            "quanto_base_rate": None,
            "price_type": row["price_type"],
            "open_interest": row.get("total_size"),
        }


async def test_facts_of_liquidations_and_statistics_are_what_their_frames_say():
    stage = Stage(liquidation_chance=1.0, stats_seconds=0.5)
    reader = await stage.reader(
        ("public_liquidates", ["ETH_USDT"]), ("contract_stats", ["ETH_USDT", "10s"])
    )
    stage.run(6.0)

    assert len(reader.of("liquidations")) == 6
    for push, frame in reader.of("liquidations"):
        [row], [fact] = frame["result"], push.facts
        assert fact["ts_event"] == row["time_ms"] * 10**6
        assert (float(fact["price"]), fact["size"]) == (row["price"], row["size"])
    assert len(reader.of("contract_stats")) >= 10
    for push, frame in reader.of("contract_stats"):
        [row], [fact] = frame["result"], push.facts
        assert push.parameter == "10s"
        assert row["time"] % 10 == 0
        named = {
            "ts_event": row["time"] * 10**9,
            "mark_price": row["mark_price"],
            "open_interest": float(row["open_interest"]),
            "open_interest_usd": row["open_interest_usd"],
            "long_short_taker": row["lsr_taker"],
            "long_short_accounts": row["lsr_account"],
            "top_long_short_accounts": row["top_lsr_account"],
            "top_long_short_size": row["top_lsr_size"],
        }
        for side in ("long", "short"):
            for what in ("size", "amount", "usd"):
                name = f"{side}_liq_{what}"
                named[name] = float(row[name])
        assert {k: v if k == "ts_event" else float(v) for k, v in fact.items()} == named
    sizes = [f["result"][0]["long_liq_size"] for _, f in reader.of("contract_stats")]
    assert len(set(sizes)) > 2


async def test_best_levels_are_said_when_they_change_and_at_times_again():
    stage = Stage(bbo_seconds=0.0)
    reader = await stage.reader(("book_ticker", ["ETH_USDT"]))
    stage.run(20.0)
    rows = [frame["result"] for _, frame in reader.of("bbo")]
    bests = [(r["b"], r["B"], r["a"], r["A"]) for r in rows]

    again = [
        (one["u"], two["u"])
        for one, two, before, after in zip(
            rows, rows[1:], bests, bests[1:], strict=False
        )
        if before == after
    ]
    assert 0 < len(again) < len(rows) / 2
    assert all(one < two for one, two in again)
    for push, frame in reader.of("bbo"):
        [fact], row = push.facts, frame["result"]
        assert fact == {
            "ts_event": row["t"] * 10**6,
            "update_id": row["u"],
            "bid_price": row["b"],
            "bid_amount": row["B"],
            "ask_price": row["a"],
            "ask_amount": row["A"],
        }
        bid, ask = stage.truth.bbo_at("futures:ETH_USDT", row["u"])
        assert (bid, ask) == ((row["b"], row["B"]), (row["a"], row["A"]))


async def test_of_an_empty_contract_all_is_empty():
    stage = Stage(empty_contracts=("ETH_USDT",))
    reader = await stage.reader(
        ("book_ticker", ["ETH_USDT"]),
        ("order_book", ["ETH_USDT", "5", "0"]),
        ("tickers", ["ETH_USDT"]),
        ("trades", ["ETH_USDT"]),
        ("candlesticks", ["1m", "ETH_USDT"]),
    )
    stage.run(3.0)

    [(push, frame)] = reader.of("bbo")
    assert frame["result"] == {
        "t": 0,
        "u": 0,
        "s": "ETH_USDT",
        "b": "",
        "B": "0",
        "a": "",
        "A": "0",
    }
    assert set(push.facts[0].values()) == {None}
    [(push, frame)] = reader.of("depth")
    assert frame["result"] | {"l": "5"} == {
        "t": 0,
        "id": 0,
        "contract": "ETH_USDT",
        "asks": [],
        "bids": [],
        "l": "5",
    }
    assert push.facts[0]["last_update_id"] is None
    assert {"last", "total_size"}.isdisjoint(reader.of("tickers")[0][1]["result"][0])
    assert reader.of("tickers")[0][0].facts[0]["last"] is None
    assert reader.of("trades") == []
    assert reader.of("klines") == []


@pytest.mark.parametrize("shape", ["array", "nested", "object"])
async def test_results_come_in_the_shape_that_is_set(shape: str):
    stage = Stage(futures_shape=shape, rate=200.0, ticker_seconds=0.5)
    reader = await stage.reader(("trades", ["ETH_USDT"]), ("tickers", ["ETH_USDT"]))
    stage.run(2.0)

    def rows(frame: Frame) -> list[Frame]:
        result = frame["result"]
        if shape == "object":
            return [result]
        if shape == "nested":
            [result] = result
        return list(result)

    told = [(push, rows(frame)) for push, frame in reader.of("trades")]
    assert [tuple(row["id"] for row in each) for _, each in told] == [
        push.trade_ids for push, _ in told
    ]
    trades = stage.truth.trades_of("futures:ETH_USDT")
    ids = [trade.trade_id for trade in trades if trade.ts_ns >= START_NS]
    assert [row["id"] for _, each in told for row in each] == ids
    most = max(len(each) for _, each in told)
    assert most == 1 if shape == "object" else most > 1
    for push, frame in reader.of("tickers"):
        assert len(rows(frame)) == len(push.facts) == 1


async def test_frames_of_2021_have_prices_as_numbers_and_no_milliseconds():
    stage = Stage(wire_era="2021", ticker_seconds=0.5)
    reader = await stage.reader(
        ("trades", ["ETH_USDT"]),
        ("tickers", ["ETH_USDT"]),
        ("candlesticks", ["1m", "ETH_USDT"]),
        ("order_book_update", ["ETH_USDT", "100ms", "100"]),
    )
    stage.run(3.0)

    for _, frame in [(p, json.loads(p.payload)) for p in reader.pushes]:
        assert "time_ms" not in frame
    trade = reader.of("trades")[0][1]["result"][0]
    assert isinstance(trade["price"], float)
    assert isinstance(trade["create_time_ms"], float)
    assert isinstance(trade["size"], int)
    assert "t" not in reader.of("tickers")[1][1]["result"][0]
    assert "total_size" in reader.of("tickers")[1][1]["result"][0]
    assert reader.of("klines")[0][1]["result"][0].keys().isdisjoint({"a", "w"})
    assert reader.of("klines")[0][0].facts[0]["is_closed"] is None
    assert "l" not in reader.of("depth")[0][1]["result"]


async def test_trades_outside_the_book_are_marked():
    stage = Stage(rate=400.0)
    reader = await stage.reader(("trades", ["ETH_USDT"]))
    stage.run(10.0)
    rows = [row for _, frame in reader.of("trades") for row in frame["result"]]

    assert {row.get("is_internal") for row in rows} == {None, True}


async def test_facts_of_books_are_what_their_frames_say_in_any_order():
    stage = Stage(rate=200.0)
    reader = await stage.reader(
        ("order_book_update", ["ETH_USDT", "100ms", "50"]),
        ("order_book", ["ETH_USDT", "10", "0"]),
    )
    stage.run(5.0)
    mixed = 0
    for push, frame in reader.of("depth"):
        [fact], row = push.facts, frame["result"]
        if push.parameter == "top.10":
            assert fact["is_snapshot"] is True
            assert fact["last_update_id"] == push.last_update_id == row["id"]
            sides = row["bids"], row["asks"]
        else:
            assert push.parameter == "100ms.50"
            ids = fact["first_update_id"], fact["last_update_id"]
            assert ids == (row["U"], row["u"])
            sides = row["b"], row["a"]
            prices = [float(level["p"]) for level in row["b"]]
            mixed += prices != sorted(prices, reverse=True)
        for told, side in zip((fact["bids"], fact["asks"]), sides, strict=True):
            assert sorted(told) == sorted((x["p"], x["s"]) for x in side)

    assert mixed > 5


async def test_facts_of_a_client_with_whole_sizes_are_cut_off_as_well():
    stage = Stage(liquidation_chance=1.0)
    reader = await stage.reader(
        ("order_book_update", ["ETH_USDT", "100ms", "50"]),
        ("public_liquidates", ["ETH_USDT"]),
        header="0",
    )
    stage.run(4.0)

    for push, frame in reader.of("depth"):
        told = [*push.facts[0]["bids"], *push.facts[0]["asks"]]
        rows = [(x["p"], str(x["s"])) for k in "ba" for x in frame["result"][k]]
        assert sorted(told) == sorted(rows)
    for push, frame in reader.of("liquidations"):
        assert push.facts[0]["size"] == str(frame["result"][0]["size"])


@pytest.mark.parametrize("name", ["full", "unflagged_full", "crossed"])
async def test_faults_of_books_are_performed_on_futures(name: str):
    stage = Stage(f"{name}:feed=futures")
    reader = await stage.reader(("order_book_update", ["ETH_USDT", "100ms", "20"]))
    stage.run(1.0)
    (done,) = stage.truth.faults_of(name, "futures")
    rows = {frame["result"]["u"]: frame["result"] for _, frame in reader.of("depth")}
    row = rows[done.last_update_id]

    if name == "crossed":
        asks = stage.truth.book_at("futures:ETH_USDT", row["u"], 1)[1]
        assert max(float(x["p"]) for x in row["b"]) > float(asks[0][0])
    else:
        assert len(row["b"]) == len(row["a"]) == 20
        assert row.get("full", False) is (name == "full")
        assert (row["U"] == row["u"]) is (name == "unflagged_full")
