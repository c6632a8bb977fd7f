"""Real recordings, played over a real socket, come out as they went in.

What is expected is read from the recording by the standard library's JSON
and by dictionaries here, not by the recorder.
"""

import asyncio
import json  # noqa: TID251 - the oracle must not share the decoders
from collections import Counter, defaultdict

import pytest

from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.model import DepthUpdate
from recorder.replay import OrderBook, bbo, replay
from recorder.simulator.play import Player, PlaySettings
from recorder.store.listing import open_listing
from recorder.store.revisions import plain_rows


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def received(path, kind):
    """Return the decoded frames of a channel or method, in order."""
    frames = []
    for line in lines(path):
        if line["kind"] != "recv":
            continue
        frame = json.loads(line["data"])
        name = frame.get("channel", frame.get("method"))
        if name == kind and frame.get("event", "update") == "update":
            frames.append(frame)
    return frames


async def record(path, root, source, streams):
    """Record until all has been played and every book is known."""
    settings = PlaySettings(speed=None, settle_seconds=0.3)
    async with Player(path, settings) as player:
        markets = sorted(
            {
                market
                for line in lines(path)
                if line["kind"] == "send"
                for market in named_markets(json.loads(line["data"]))
            }
        )
        config = CaptureConfig(
            source=source,
            markets=tuple(markets),
            streams=streams,
            store=root,
            ws_url=player.ws_url,
            rest_url=player.rest_url,
            flush_seconds=0.2,
        )
        capture = Capture(plan_capture(config))
        running = asyncio.ensure_future(capture.run())
        async with asyncio.timeout(30):
            await player.finished.wait()
            books = capture._session.books
            while books.known_total < books.total:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.05)
        capture.request_stop()
        result = await running
    assert result.failure is None
    assert not result.refused
    return open_listing(root)


def named_markets(request):
    parameters = request.get("payload", request.get("params"))
    flat = [p[0] if isinstance(p, list) else p for p in parameters]
    return [name for name in flat if isinstance(name, str) and "_" in name]


@pytest.fixture
def spot(recordings):
    return recordings / "gate-spot-2021-04-22.jsonl"


@pytest.fixture
def futures(recordings):
    return recordings / "gate-futures-2023-05-24.jsonl"


@pytest.fixture
def v3(recordings):
    return recordings / "gate-v3-2021-04-05.jsonl"


async def test_the_spot_recording_gives_its_rows_and_its_books(spot, tmp_path):
    streams = ("trades", "depth:100ms", "klines:1m", "tickers")
    listing = await record(spot, tmp_path / "s", "gate_spot", streams)

    check_spot_depth(listing, spot)
    check_spot_trades(listing, spot)
    check_spot_klines(listing, spot)
    check_spot_tickers(listing, spot)
    check_spot_books(listing, spot)


def check_spot_depth(listing, path):
    rows = plain_rows(listing.read("depth"))
    live = sorted((r for r in rows if r["origin"] == "live"), key=lambda r: r["seq"])
    frames = [f["result"] for f in received(path, "spot.order_book_update")]

    assert len(frames) == 172
    assert [row_facts(r) for r in live] == [
        (
            f["s"],
            f["U"],
            f["u"],
            f["t"] * 1_000_000,
            [(float(p), float(a)) for p, a in f["b"]],
            [(float(p), float(a)) for p, a in f["a"]],
        )
        for f in frames
    ]


def row_facts(row):
    return (
        row["market"],
        row["first_update_id"],
        row["last_update_id"],
        row["ts_event"],
        [(level["price"], level["amount"]) for level in row["bids"]],
        [(level["price"], level["amount"]) for level in row["asks"]],
    )


def check_spot_trades(listing, path):
    rows = plain_rows(listing.read("trades"))
    frames = [f["result"] for f in received(path, "spot.trades")]

    assert len(frames) == 9
    assert sorted(
        (r["market"], r["trade_id"], r["side"], r["price"], r["amount"], r["ts_event"])
        for r in rows
    ) == sorted(
        (
            f["currency_pair"],
            f["id"],
            f["side"],
            float(f["price"]),
            float(f["amount"]),
            nanoseconds(f["create_time_ms"], 6),
        )
        for f in frames
    )


def nanoseconds(text, digits):
    whole, _, fraction = text.partition(".")
    return int(whole + fraction[:digits].ljust(digits, "0"))


def check_spot_klines(listing, path):
    rows = plain_rows(listing.read("klines"))
    frames = [f["result"] for f in received(path, "spot.candlesticks")]

    assert len(frames) == 14
    names = ("open", "high", "low", "close", "turnover")
    assert sorted(
        (r["interval"] + "_" + r["market"], r["open_at"], *(r[n] for n in names))
        for r in rows
    ) == sorted(
        (f["n"], int(f["t"]) * 10**9, *(float(f[key]) for key in "ohlcv"))
        for f in frames
    )


def check_spot_tickers(listing, path):
    rows = plain_rows(listing.read("tickers"))
    frames = [f["result"] for f in received(path, "spot.tickers")]

    assert len(frames) == 22
    assert Counter(
        (r["market"], r["last"], r["bid"], r["ask"], r["base_volume"]) for r in rows
    ) == Counter(
        (
            f["currency_pair"],
            float(f["last"]),
            float(f["highest_bid"]),
            float(f["lowest_ask"]),
            float(f["base_volume"]),
        )
        for f in frames
    )


def check_spot_books(listing, path):
    """10 of 10 are known, 8 have updates beyond their snapshot, none is crossed."""
    expected, beyond = spot_books_by_hand(path)
    books = defaultdict(OrderBook)
    for row in replay(listing, streams=["depth"]):
        if isinstance(row.event, DepthUpdate):
            books[row.event.market].apply(row.event, conn=row.conn)

    assert len(books) == 10
    assert sum(beyond.values()) == 8
    for market, book in books.items():
        assert book.is_known, market
        bids, asks = book.top(1_000)
        assert (dict(bids), dict(asks)) == expected[market], market
        assert book.crossings == 0
        quotes = plain_rows(bbo(listing, source="gate_spot", market=market))
        assert quotes[-1]["known"]
        assert quotes[-1]["bid_price"] == max(expected[market][0])
        assert quotes[-1]["ask_price"] == min(expected[market][1])


def spot_books_by_hand(path):
    """Rebuild the books by the documented procedure, with dictionaries."""
    updates = defaultdict(list)
    for frame in received(path, "spot.order_book_update"):
        updates[frame["result"]["s"]].append(frame["result"])
    books, beyond = {}, {}
    for line in lines(path):
        if line["kind"] != "http" or "order_book" not in line["url"]:
            continue
        market = line["url"].split("currency_pair=")[1].split("&")[0]
        snapshot = json.loads(line["data"])
        bids = {float(p): float(a) for p, a in snapshot["bids"]}
        asks = {float(p): float(a) for p, a in snapshot["asks"]}
        newer = [u for u in updates[market] if u["u"] > snapshot["id"]]
        for update in newer:
            change(bids, update["b"])
            change(asks, update["a"])
        books[market] = (bids, asks)
        beyond[market] = bool(newer)
    return books, beyond


def change(side, levels):
    for price, amount in levels:
        if float(amount) == 0:
            side.pop(float(price), None)
        else:
            side[float(price)] = float(amount)


async def test_the_futures_recording_gives_its_rows_and_its_books(futures, tmp_path):
    streams = ("trades", "depth:100ms", "klines:1m", "bbo")
    listing = await record(futures, tmp_path / "s", "gate_futures", streams)

    check_futures_depth(listing, futures)
    check_futures_bbo(listing, futures)
    check_futures_klines(listing, futures)
    check_futures_books(listing, futures)
    check_futures_best_prices(listing, futures)


def check_futures_depth(listing, path):
    """All 352 updates are there, in chains without a break."""
    rows = plain_rows(listing.read("depth"))
    live = sorted((r for r in rows if r["origin"] == "live"), key=lambda r: r["seq"])
    frames = [f["result"] for f in received(path, "futures.order_book_update")]

    assert len(frames) == 352
    assert [row_facts(r) for r in live] == [
        (
            f["s"],
            f["U"],
            f["u"],
            f["t"] * 1_000_000,
            [(float(x["p"]), float(x["s"])) for x in f["b"]],
            [(float(x["p"]), float(x["s"])) for x in f["a"]],
        )
        for f in frames
    ]
    last = {}
    for row in live:
        before = last.get(row["market"], row["first_update_id"] - 1)
        assert row["first_update_id"] == before + 1
        last[row["market"]] = row["last_update_id"]
    assert len(last) == 10
    reasons = {row["reason"] for row in plain_rows(listing.read("gaps"))}
    assert reasons == {"not_started", "process_stopped", "resync"}


def check_futures_bbo(listing, path):
    rows = plain_rows(listing.read("bbo"))
    frames = [f["result"] for f in received(path, "futures.book_ticker")]

    assert len(frames) == 75
    names = ("bid_price", "bid_amount", "ask_price", "ask_amount")
    assert sorted(
        (r["market"], r["ts_event"], r["update_id"], *(r[n] for n in names))
        for r in rows
    ) == sorted(
        (f["s"], f["t"] * 1_000_000, f["u"], *(float(f[key]) for key in "bBaA"))
        for f in frames
    )


def check_futures_klines(listing, path):
    (row,) = plain_rows(listing.read("klines"))
    ((frame,),) = (f["result"] for f in received(path, "futures.candlesticks"))

    names = ("open", "high", "low", "close", "volume")
    assert (row["interval"] + "_" + row["market"], *(row[n] for n in names)) == (
        frame["n"],
        *(float(frame[key]) for key in "ohlcv"),
    )


def check_futures_books(listing, path):
    """10 of 10 are known, 9 have newer updates, none is crossed."""
    expected, newer = futures_books_by_hand(path)
    books = defaultdict(OrderBook)
    for row in replay(listing, streams=["depth"]):
        if isinstance(row.event, DepthUpdate):
            books[row.event.market].apply(row.event, conn=row.conn)

    assert len(books) == 10
    assert len({market for market, _ in newer}) == 9
    for market, book in books.items():
        assert book.is_known, market
        bids, asks = book.top(1_000)
        assert (dict(bids), dict(asks)) == expected[market], market
        assert book.crossings == 0
    assert sum(book.unknown_deletes for book in books.values()) == 13


def check_futures_best_prices(listing, path):
    """What 16 pushes of best prices say is what the books show at their ids.

    The recording is played too fast for the snapshots to be there in time, so
    here they are put before the updates.
    """
    _, newer = futures_books_by_hand(path)
    told = {
        (f["result"]["s"], f["result"]["u"]): f["result"]
        for f in received(path, "futures.book_ticker")
    }
    books = defaultdict(OrderBook)
    shown = {}
    rows = replay(listing, streams=["depth"])
    events = [row.event for row in rows if isinstance(row.event, DepthUpdate)]
    for event in sorted(events, key=lambda event: event.origin != "rest"):
        book = books[event.market]
        book.apply(event)
        shown[event.market, book.last_update_id] = book.bbo()

    comparable = told.keys() & newer
    assert len(comparable) == 16
    for place in comparable:
        best = {key: float(told[place][key]) for key in "bBaA"}
        assert shown[place] == ((best["b"], best["B"]), (best["a"], best["A"]))


def futures_books_by_hand(path):
    """Rebuild the books by the documented procedure, with dictionaries.

    Returns:
        The books by market, and market and last id of each update that is
        newer than its snapshot.
    """
    updates = defaultdict(list)
    for frame in received(path, "futures.order_book_update"):
        updates[frame["result"]["s"]].append(frame["result"])
    books, newer = {}, set()
    for line in lines(path):
        if line["kind"] != "http" or "order_book" not in line["url"]:
            continue
        market = line["url"].split("contract=")[1].split("&")[0]
        snapshot = json.loads(line["data"])
        bids, asks = ({}, {})
        change(bids, pairs(snapshot["bids"]))
        change(asks, pairs(snapshot["asks"]))
        for update in updates[market]:
            if update["u"] > snapshot["id"]:
                change(bids, pairs(update["b"]))
                change(asks, pairs(update["a"]))
                newer.add((market, update["u"]))
        books[market] = (bids, asks)
    return books, newer


def pairs(levels):
    return [(level["p"], level["s"]) for level in levels]


async def test_the_v3_recording_gives_its_rows_and_its_books(v3, tmp_path):
    listing = await record(
        v3, tmp_path / "s", "gate_v3", ("trades", "depth:30@0.00000001")
    )

    check_v3_trades(listing, v3)
    check_v3_depth(listing, v3)


def check_v3_trades(listing, path):
    rows = plain_rows(listing.read("trades"))
    pushes = [f["params"] for f in received(path, "trades.update")]
    first = set()
    expected = {}
    for market, trades in pushes:
        for trade in trades:
            expected.setdefault(
                (market, trade["id"]),
                (
                    trade["type"],
                    float(trade["price"]),
                    float(trade["amount"]),
                    "live" if market in first else "history",
                ),
            )
        first.add(market)

    assert len(pushes) == 34
    assert {
        (r["market"], r["trade_id"]): (r["side"], r["price"], r["amount"], r["origin"])
        for r in rows
    } == expected
    assert len(rows) == len(expected)


def check_v3_depth(listing, path):
    pushes = [f["params"] for f in received(path, "depth.update")]
    by_hand = {}
    expected = []
    for is_clean, depth, market in pushes:
        if is_clean:
            by_hand[market] = ({}, {})
        bids, asks = by_hand[market]
        change(bids, depth.get("bids", []))
        change(asks, depth.get("asks", []))
        expected.append((market, is_clean, dict(bids), dict(asks)))

    books = defaultdict(OrderBook)
    seen = []
    for row in replay(listing, streams=["depth"]):
        event = row.event
        if not isinstance(event, DepthUpdate):
            continue
        book = books[event.market]
        book.apply(event, conn=row.conn)
        bids, asks = book.top(1_000)
        seen.append((event.market, event.is_snapshot, dict(bids), dict(asks)))
        assert bids[0][0] < asks[0][0]

    assert len(pushes) == 317
    assert sum(is_clean for is_clean, _, _ in pushes) == 21
    assert seen == expected
    sizes = {market: (len(b), len(a)) for market, _, b, a in reversed(seen)}
    for market, _, bids, asks in seen:
        assert (len(bids), len(asks)) == sizes[market]
        assert max(len(bids), len(asks)) == 30
