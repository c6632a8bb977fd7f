"""Every frame of the real recordings, against another reading of the same JSON."""

import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recorder.model import Chain, DepthUpdate
from recorder.source import Source
from recorder.sources import _gate_futures_wire, gate_futures, gate_spot, gate_v3
from recorder.sources._gate_spot_wire import is_whole_window


Plain = Callable[[Sequence[Any]], list[dict[str, Any]]]
Line = dict[str, Any]

SPOT_STREAMS = {
    "spot.trades": "trades",
    "spot.tickers": "tickers",
    "spot.candlesticks": "klines:1m",
    "spot.order_book_update": "depth:100ms",
}


def lines(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def replay(
    source: Source, chains: Sequence[Chain], recording: Sequence[Line]
) -> Iterator[tuple[Any, Sequence[Any]]]:
    """Yield each received frame, read by the test, with what the feed makes of it."""
    dialogue = source.dialogue(chains, {})
    dialogue.open(0)
    for line in recording:
        if line["kind"] == "recv":
            payload = line["data"].encode()
            assert dialogue.unknown_keys(payload) == ()
            yield exact(line["data"]), dialogue.receive(payload, 0)


def with_levels(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for event in events:
        for side in {"bids", "asks"} & event.keys():
            event[side] = json.loads(event[side])
    return events


# Spot --------------------------------------------------------------------

WINDOWS = {
    "HAI_ETH": 2691446,
    "QTUM3S_USDT": 69526943,
    "OMG_USDT": 59231869,
    "ZKS_ETH": 11077661,
    "NEO_BTC": 31244061,
    "INK_USDT": 2509482,
}
"""Markets whose first push was the whole window, unflagged, and its one id."""


@pytest.fixture(scope="module")
def spot(recordings: Path) -> list[Line]:
    return lines(recordings / "gate-spot-2021-04-22.jsonl")


def spot_chains(recording: Sequence[Line]) -> list[Chain]:
    chains = []
    for line in recording:
        if line["kind"] == "send":
            frame = json.loads(line["data"])
            markets = [name for name in frame["payload"] if name not in ("1m", "100ms")]
            chains += [Chain(name, SPOT_STREAMS[frame["channel"]]) for name in markets]
    return chains


def spot_expected(
    frame: Any, pending: dict[str, list[list[list[str]]]]
) -> list[dict[str, Any]]:
    seconds_ns = frame["time"] * 10**9
    row = frame["result"]
    if frame["event"] == "subscribe":
        return [{"is": "Subscribed", "chains": pending[frame["channel"]].pop(0)}]
    if frame["channel"] == "spot.trades":
        return [
            {
                "is": "Trade",
                "market": row["currency_pair"],
                "ts_event": int(Decimal(row["create_time_ms"]) * 10**6),
                "trade_id": row["id"],
                "side": row["side"],
                "price": row["price"],
                "amount": row["amount"],
                "origin": "live",
            }
        ]
    if frame["channel"] == "spot.order_book_update":
        return [
            {
                "is": "DepthUpdate",
                "market": row["s"],
                "stream": "depth:100ms",
                "ts_event": row["t"] * 10**6,
                "is_snapshot": WINDOWS.get(row["s"]) == row["U"],
                "first_update_id": row["U"],
                "last_update_id": row["u"],
                "bids": row["b"],
                "asks": row["a"],
                "depth_limit": 100,
                "origin": "live",
            }
        ]
    if frame["channel"] == "spot.candlesticks":
        interval, market = row["n"].split("_", 1)
        return [
            {
                "is": "Kline",
                "market": market,
                "ts_event": seconds_ns,
                "interval": interval,
                "open_at": int(row["t"]) * 10**9,
                "open": row["o"],
                "high": row["h"],
                "low": row["l"],
                "close": row["c"],
                "turnover": row["v"],
                "origin": "live",
            }
        ]
    assert frame["channel"] == "spot.tickers"
    return [
        {
            "is": "Ticker",
            "market": row["currency_pair"],
            "ts_event": seconds_ns,
            "last": row["last"],
            "bid": row["highest_bid"],
            "ask": row["lowest_ask"],
            "high": row["high_24h"],
            "low": row["low_24h"],
            "change_pct": row["change_percentage"],
            "base_volume": row["base_volume"],
            "quote_volume": row["quote_volume"],
        }
    ]


def test_every_spot_frame_says_what_the_recording_holds(
    spot: list[Line], plain: Plain
) -> None:
    pending: dict[str, list[list[list[str]]]] = defaultdict(list)
    for line in spot:
        if line["kind"] == "send":
            frame = json.loads(line["data"])
            chains = spot_chains([line])
            pending[frame["channel"]].append([list(chain) for chain in chains])
    kinds: Counter[str] = Counter()

    for frame, said in replay(gate_spot.SOURCE, spot_chains(spot), spot):
        expected = spot_expected(frame, pending)
        assert with_levels(plain(said)) == expected
        kinds.update(event["is"] for event in expected)

    assert not any(pending.values())
    assert kinds == {
        "DepthUpdate": 172,
        "Ticker": 22,
        "Kline": 14,
        "Trade": 9,
        "Subscribed": 22,
    }


def test_unflagged_windows_are_the_books_that_rest_gave(spot: list[Line]) -> None:
    """From each window on, updates lead to the very book of the REST answer."""
    rest = {
        line["url"].split("currency_pair=")[1].split("&")[0]: json.loads(line["data"])
        for line in spot
        if line["kind"] == "http" and "/spot/order_book?" in line["url"]
    }
    books: dict[str, dict[str, dict[str, str]]] = {}
    compared = set()
    for _, said in replay(gate_spot.SOURCE, spot_chains(spot), spot):
        for event in said:
            if not isinstance(event, DepthUpdate):
                continue
            if event.is_snapshot:
                books[event.market] = {"bids": {}, "asks": {}}
            sides = books.get(event.market, {})
            for name, side in sides.items():
                for price, amount in json.loads(bytes(getattr(event, name))):
                    side[price] = amount
                    if float(amount) == 0:
                        del side[price]
            if sides and event.last_update_id == rest[event.market]["id"]:
                compared.add(event.market)
                for name, side in sides.items():
                    assert side == dict(rest[event.market][name])

    assert books.keys() == compared == WINDOWS.keys()


def test_no_change_of_futures_looks_like_a_whole_window(recordings: Path) -> None:
    """Of spot too few changes are recorded to trust the rule to them alone."""
    seen: Counter[bool] = Counter()
    for line in lines(recordings / "gate-futures-2023-05-24.jsonl"):
        frame = json.loads(line["data"]) if line["kind"] == "recv" else {}
        if frame.get("channel") != "futures.order_book_update":
            continue
        row = frame["result"]
        if frame["event"] == "update" and row["U"] == row["u"]:
            sides = [
                msgspec.Raw(json.dumps([[x["p"], str(x["s"])] for x in row[key]]))
                for key in "ba"
            ]
            seen[is_whole_window(*sides)] += 1
            raw = [msgspec.Raw(json.dumps(row[key])) for key in "ba"]
            seen[_gate_futures_wire.is_whole_window(*raw)] += 1

    assert seen == {False: 2 * 157}


def test_spot_requests_are_those_of_the_recording(spot: list[Line]) -> None:
    requests = gate_spot.SOURCE.dialogue(spot_chains(spot), {}).open(0)

    def key(frame: dict[str, Any]) -> tuple[str, str, list[str]]:
        return frame["channel"], frame["event"], frame["payload"]

    recorded = [key(json.loads(x["data"])) for x in spot if x["kind"] == "send"]
    assert sorted(key(json.loads(r.payload)) for r in requests) == sorted(recorded)


def test_every_recorded_spot_book_is_a_snapshot(spot: list[Line]) -> None:
    rule = gate_spot.SOURCE.snapshot
    assert rule is not None
    markets = []

    for line in spot:
        if line["kind"] == "http" and "/spot/order_book?" in line["url"]:
            market = line["url"].split("currency_pair=")[1].split("&")[0]
            markets.append(market)
            book = rule.decode(Chain(market, "depth:100ms"), line["data"].encode())
            answer = json.loads(line["data"])
            assert book.market == market
            assert book.last_update_id == answer["id"]
            assert book.ts_event is None
            assert json.loads(bytes(book.asks)) == answer["asks"]
            assert json.loads(bytes(book.bids)) == answer["bids"]

    assert sorted(markets) == sorted({chain.market for chain in spot_chains(spot)})


def test_recorded_list_of_pairs_is_the_list_of_markets(spot: list[Line]) -> None:
    (body,) = [
        line["data"]
        for line in spot
        if line["kind"] == "http" and line["url"].endswith("/spot/currency_pairs")
    ]
    for source in (gate_spot.SOURCE, gate_v3.SOURCE):
        assert source.market_list is not None

        markets = source.market_list.decode(body.encode())

        assert [(m.market, m.status, m.base, m.quote) for m in markets] == [
            (row["id"], row["trade_status"], row["base"], row["quote"])
            for row in json.loads(body)
        ]


# Futures -----------------------------------------------------------------

FUTURES_STREAMS = {
    "futures.trades": "trades",
    "futures.book_ticker": "bbo",
    "futures.candlesticks": "klines:1m",
    "futures.order_book_update": "depth:100ms",
}


@pytest.fixture(scope="module")
def futures(recordings: Path) -> list[Line]:
    return lines(recordings / "gate-futures-2023-05-24.jsonl")


def futures_chains(recording: Sequence[Line]) -> list[Chain]:
    chains = []
    for line in recording:
        if line["kind"] == "send":
            frame = json.loads(line["data"])
            markets = [name for name in frame["payload"] if name not in ("1m", "100ms")]
            stream = FUTURES_STREAMS[frame["channel"]]
            chains += [Chain(name, stream) for name in markets]
    return chains


def futures_expected(
    frame: Any, pending: dict[str, list[list[list[str]]]]
) -> list[dict[str, Any]]:
    row = frame["result"]
    if frame["event"] == "subscribe":
        return [{"is": "Subscribed", "chains": pending[frame["channel"]].pop(0)}]
    if frame["channel"] == "futures.order_book_update":
        return [
            {
                "is": "DepthUpdate",
                "market": row["s"],
                "stream": "depth:100ms",
                "ts_event": row["t"] * 10**6,
                "is_snapshot": False,
                "first_update_id": row["U"],
                "last_update_id": row["u"],
                "bids": row["b"],
                "asks": row["a"],
                "depth_limit": 100,
                "origin": "live",
            }
        ]
    if frame["channel"] == "futures.book_ticker":
        return [
            {
                "is": "Bbo",
                "market": row["s"],
                "ts_event": row["t"] * 10**6,
                "update_id": row["u"],
                "bid_price": row["b"],
                "bid_amount": str(row["B"]),
                "ask_price": row["a"],
                "ask_amount": str(row["A"]),
            }
        ]
    assert frame["channel"] == "futures.candlesticks"
    (row,) = row
    interval, market = row["n"].split("_", 1)
    return [
        {
            "is": "Kline",
            "market": market,
            "ts_event": frame["time_ms"] * 10**6,
            "interval": interval,
            "open_at": row["t"] * 10**9,
            "open": row["o"],
            "high": row["h"],
            "low": row["l"],
            "close": row["c"],
            "volume": str(row["v"]),
            "origin": "live",
        }
    ]


def test_every_futures_frame_says_what_the_recording_holds(
    futures: list[Line], plain: Plain
) -> None:
    pending: dict[str, list[list[list[str]]]] = defaultdict(list)
    for line in futures:
        if line["kind"] == "send":
            frame = json.loads(line["data"])
            chains = futures_chains([line])
            pending[frame["channel"]].append([list(chain) for chain in chains])
    kinds: Counter[str] = Counter()

    for frame, said in replay(gate_futures.SOURCE, futures_chains(futures), futures):
        expected = futures_expected(frame, pending)
        assert with_levels(plain(said)) == expected
        kinds.update(event["is"] for event in expected)

    assert not any(pending.values())
    assert kinds == {"DepthUpdate": 352, "Bbo": 75, "Kline": 1, "Subscribed": 22}


def test_every_recorded_futures_book_is_a_snapshot(futures: list[Line]) -> None:
    rule = gate_futures.SOURCE.snapshot
    assert rule is not None
    markets = []

    for line in futures:
        if line["kind"] == "http" and "/order_book?" in line["url"]:
            market = line["url"].split("contract=")[1].split("&")[0]
            markets.append(market)
            book = rule.decode(Chain(market, "depth:100ms"), line["data"].encode())
            answer = exact(line["data"])
            assert (book.market, book.last_update_id) == (market, answer["id"])
            assert book.ts_event == answer["current"] * 10**9
            assert json.loads(bytes(book.asks)) == answer["asks"]
            assert json.loads(bytes(book.bids)) == answer["bids"]

    assert sorted(markets) == sorted({c.market for c in futures_chains(futures)})


def test_recorded_list_of_contracts_is_the_list_of_markets(
    futures: list[Line],
) -> None:
    rule = gate_futures.SOURCE.market_list
    assert rule is not None
    (body,) = (x["data"] for x in futures if "/contracts" in x.get("url", ""))
    listed = json.loads(body)

    markets = rule.decode(body.encode())

    assert [
        (m.market, m.tick_size, m.lot_size, m.multiplier, json.loads(m.payload))
        for m in markets
    ] == [
        (x["name"], x["order_price_round"], "1", x["quanto_multiplier"], x)
        for x in listed
    ]
    assert [rule.is_traded(market) for market in markets] == [
        not x["in_delisting"] or x["position_size"] > 0 for x in listed
    ]
    assert {(m.quote, m.status) for m in markets} == {
        ("USDT", None),
        ("USDT", "in_delisting"),
    }


# v3 ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def v3(recordings: Path) -> list[Line]:
    return lines(recordings / "gate-v3-2021-04-05.jsonl")


def v3_chains(recording: Sequence[Line]) -> list[Chain]:
    chains = []
    for line in recording:
        if line["kind"] == "send":
            frame = json.loads(line["data"])
            for item in frame["params"]:
                if frame["method"] == "depth.subscribe":
                    chains.append(Chain(item[0], f"depth:{item[1]}@{item[2]}"))
                else:
                    chains.append(Chain(item, "trades"))
    return chains


def v3_expected(
    frame: Any, chains: Sequence[Chain], seen: set[str]
) -> list[dict[str, Any]]:
    if frame["id"] is not None:
        stream = {1: "trades", 2: "depth:30@0.00000001"}[frame["id"]]
        mine = [list(chain) for chain in chains if chain.stream == stream]
        return [{"is": "Subscribed", "chains": mine}]
    if frame["method"] == "depth.update":
        is_clean, depth, market = frame["params"]
        return [
            {
                "is": "DepthUpdate",
                "market": market,
                "stream": "depth:30@0.00000001",
                "is_snapshot": is_clean,
                "bids": depth.get("bids", []),
                "asks": depth.get("asks", []),
                "depth_limit": 30,
                "origin": "live",
            }
        ]
    assert frame["method"] == "trades.update"
    market, rows = frame["params"]
    origin = "live" if market in seen else "history"
    seen.add(market)
    return [
        {
            "is": "Trade",
            "market": market,
            "ts_event": int(row["time"] * 10**9),
            "trade_id": row["id"],
            "side": row["type"],
            "price": row["price"],
            "amount": row["amount"],
            "origin": origin,
        }
        for row in rows
    ]


def test_every_v3_frame_says_what_the_recording_holds(
    v3: list[Line], plain: Plain
) -> None:
    chains = v3_chains(v3)
    seen: set[str] = set()
    frames: Counter[tuple[str, bool]] = Counter()

    for frame, said in replay(gate_v3.SOURCE, chains, v3):
        expected = v3_expected(frame, chains, seen)
        assert with_levels(plain(said)) == expected
        assert expected
        frames[expected[0]["is"], bool(expected[0].get("is_snapshot"))] += 1

    assert frames == {
        ("DepthUpdate", True): 21,
        ("DepthUpdate", False): 296,
        ("Trade", False): 34,
        ("Subscribed", False): 2,
    }


def test_v3_requests_are_those_of_the_recording(v3: list[Line]) -> None:
    requests = gate_v3.SOURCE.dialogue(v3_chains(v3), {}).open(0)

    recorded = [json.loads(line["data"]) for line in v3 if line["kind"] == "send"]
    assert [json.loads(request.payload) for request in requests] == recorded
