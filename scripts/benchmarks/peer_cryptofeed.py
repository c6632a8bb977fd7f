"""A peer of `ingest`, cryptofeed: runs in an environment of its own.

It handles frames out of a file, one on each line, with its Gate handler; the
callback makes a dict of each event, or nothing. Told ``dicts`` or ``empty``
by lines on its standard input, it answers with the CPU seconds that it took.
Before the first answer it has written what the dicts say, for comparison.
"""

import argparse
import asyncio
import json  # noqa: TID251 - msgspec is not installed there
import sys
import time
from array import array
from pathlib import Path

from cryptofeed.defines import ASK, BID, L2_BOOK, TRADES
from cryptofeed.exchanges import Gateio
from cryptofeed.symbols import Symbols


FLUSH_EVENTS = 25_000


def feed_of(books, callbacks):
    """Return a handler that knows these markets, and nobody else."""
    names = {market: market.replace("_", "-") for market in books}
    mapping = {name: market for market, name in names.items()}
    Symbols.set(Gateio.id, mapping, {"instrument_type": {}})
    feed = Gateio(
        symbols=list(mapping),
        channels=[L2_BOOK, TRADES],
        callbacks=callbacks,
    )
    feed._reset()  # noqa: SLF001 - what it does on connecting

    class Http:
        """Answers requests for snapshots."""

        async def read(self, url):
            """Return the book of the market that the address names."""
            market = url.split("currency_pair=")[1].split("&")[0]
            return json.dumps(books[market])

    feed.http_conn = Http()
    return feed


async def handle(frames, books, way, kept):
    """Return the CPU seconds that the handler took for all frames."""
    rows = kept if kept is not None else []

    async def of_book(event, _receipt):
        rows.append(event.to_dict(delta=True, numeric_type=float))
        if kept is None and len(rows) == FLUSH_EVENTS:
            rows.clear()  # as if they had been written

    async def of_trade(event, _receipt):
        rows.append(event.to_dict(numeric_type=float))
        if kept is None and len(rows) == FLUSH_EVENTS:
            rows.clear()

    async def nothing(_event, _receipt):
        pass

    if way == "dicts":
        feed = feed_of(books, {L2_BOOK: of_book, TRADES: of_trade})
    else:
        feed = feed_of(books, {L2_BOOK: nothing, TRADES: nothing})
    for market, book in books.items():
        if "asks" in book:  # its snapshot, as if it had come long ago
            await feed._snapshot(market)  # noqa: SLF001
    rows.clear()
    began = time.process_time()
    for frame in frames:
        await feed.message_handler(frame, None, 0.0)
    return time.process_time() - began


def flat(rows):
    """Return markets, and for each row its levels or its price and amount."""
    markets, sizes, values = [], array("q"), array("d")
    for row in rows:
        markets.append(row["symbol"].replace("-", "_"))
        if "delta" in row:
            bids, asks = ([x for x in row["delta"][s] if x[1]] for s in (BID, ASK))
            sizes.extend((len(bids), len(asks)))
            for price, amount in (*bids, *asks):
                values.extend((price, amount))
        else:
            values.extend((row["price"], row["amount"]))
    return markets, sizes, values


def main():
    """Answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--books", type=Path, required=True)
    parser.add_argument("--told", type=Path, required=True)
    given = parser.parse_args()
    frames = given.frames.read_text().splitlines()
    books = json.loads(given.books.read_text())
    kept = []
    asyncio.run(handle(frames, books, "dicts", kept))
    markets, sizes, values = flat(kept)
    kept.clear()
    given.told.with_suffix(".markets").write_text("\n".join(markets))
    given.told.with_suffix(".sizes").write_bytes(sizes.tobytes())
    given.told.with_suffix(".values").write_bytes(values.tobytes())
    print("ready", flush=True)
    for line in sys.stdin:
        seconds = asyncio.run(handle(frames, books, line.strip(), None))
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
