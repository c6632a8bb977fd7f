"""Real recordings through the plain book and through a store and the ladder.

What must come out was counted by an independent script; see the README of
the recordings. They are decoded here without the feeds.
"""

import re
from collections import defaultdict

import msgspec

from recorder.model import DepthUpdate
from recorder.replay import bbo
from recorder.replay.book import OrderBook


def messages(path):
    """Depth messages of a recording in their order: (seconds, event)."""
    for line in path.read_text().splitlines():
        said = msgspec.json.decode(line)
        if said["kind"] not in ("recv", "http"):
            continue
        body = msgspec.json.decode(said["data"])
        for fields in fields_of(said.get("url") or "", body):
            market, is_snapshot, first, last, sides, origin = fields
            bids, asks = (pairs(sides.get(side, ())) for side in ("bids", "asks"))
            yield (
                said["at"],
                DepthUpdate(
                    market=market,
                    stream="depth:100ms",
                    ts_event=None,
                    is_snapshot=is_snapshot,
                    first_update_id=first,
                    last_update_id=last,
                    bids=bids,
                    asks=asks,
                    origin=origin,
                ),
            )


def fields_of(url, body):
    """Market, whether it is a snapshot, ids, levels by side, and origin."""
    if asked := re.search(r"order_book\?(?:currency_pair|contract)=(\w+)", url):
        yield asked[1], True, None, body["id"], body, "rest"
    elif url:
        return
    elif body.get("method") == "depth.update":
        clean, sides, market = body["params"]
        yield market, clean, None, None, sides, "live"
    elif (
        str(body.get("channel")).endswith(".order_book_update")
        and body["event"] == "update"
    ):
        said = body["result"]
        sides = {"bids": said["b"], "asks": said["a"]}
        yield said["s"], False, said["U"], said["u"], sides, "live"


def pairs(levels):
    return tuple(
        (float(x["p"]), float(x["s"])) if isinstance(x, dict) else tuple(map(float, x))
        for x in levels
    )


def follow(path):
    """Every market's book at the end, and how many updates it was given."""
    books, updates, bases = defaultdict(OrderBook), 0, {}
    for _, event in messages(path):
        books[event.market].apply(event)
        if event.is_snapshot:
            bases[event.market] = event.last_update_id
        else:
            updates += 1
    beyond = {
        market
        for market, book in books.items()
        if book.is_known and book.last_update_id > bases[market]
    }
    return books, updates, beyond


def test_all_spot_books_are_known_and_eight_have_updates_after_the_snapshot(recordings):
    books, updates, beyond = follow(recordings / "gate-spot-2021-04-22.jsonl")

    assert updates == 172
    assert len(books) == 10
    assert all(book.is_known for book in books.values())
    assert set(books) - beyond == {"INK_USDT", "BTC_USDC"}
    assert sum(book.unknown_deletes for book in books.values()) == 0
    assert sum(book.crossings for book in books.values()) == 0


def test_all_futures_books_are_known_and_thirteen_deletes_name_no_price(recordings):
    books, updates, beyond = follow(recordings / "gate-futures-2023-05-24.jsonl")

    assert updates == 352
    assert len(books) == 10
    assert all(book.is_known for book in books.values())
    assert set(books) - beyond == {"DIA_USDT"}
    assert sum(book.unknown_deletes for book in books.values()) == 13
    assert sum(book.crossings for book in books.values()) == 0


def test_v3_books_hold_min_30_and_what_there_is_after_each_update(recordings):
    books, most = defaultdict(OrderBook), {}
    updates, cleans = 0, 0
    for _, event in messages(recordings / "gate-v3-2021-04-05.jsonl"):
        book = books[event.market]
        book.apply(event)
        sizes = tuple(len(side) for side in book.top(99))
        if event.is_snapshot:
            cleans += 1
            most[event.market] = len(event.bids), len(event.asks)
        else:
            updates += 1

        assert book.is_known
        assert sizes == tuple(min(30, size) for size in most[event.market])

    assert (cleans, updates) == (21, 296)
    assert sum(book.crossings for book in books.values()) == 0
    assert sum(book.unknown_deletes for book in books.values()) == 0


def test_quotes_from_a_store_are_those_of_the_plain_book(recordings, recorded):
    expected = defaultdict(list)
    books = defaultdict(OrderBook)
    start = None
    for seconds, event in messages(recordings / "gate-spot-2021-04-22.jsonl"):
        start = start or seconds
        seq = sum(map(len, expected.values()))
        levels = [
            msgspec.json.encode([[repr(p), repr(a)] for p, a in side])
            for side in (event.bids, event.asks)
        ]
        raw = msgspec.structs.replace(event, bids=levels[0], asks=levels[1])
        recorded.row(seconds - start, raw, seq=seq)
        book = books[event.market]
        book.apply(event)
        quote = book.bbo() if book.is_known else (None, None)
        expected[event.market].append((book.is_known, *quote))
    listing = recorded.listing()

    for market, quotes in expected.items():
        table = bbo(listing, source="gate_spot", market=market)
        found = [
            (
                row["known"],
                (row["bid_price"], row["bid_amount"]) if row["known"] else None,
                (row["ask_price"], row["ask_amount"]) if row["known"] else None,
            )
            for row in table.drop_columns(["ts_recv", "ts_event"]).to_pylist()
        ]
        assert found == quotes
