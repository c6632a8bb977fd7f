"""Peers of `replay` in plain Python: books kept by dictionaries that sort.

It applies the level changes out of a file and reads the best bid and offer
after every message. ``sortedcontainers`` keeps a sorted dictionary for each
side, ``order_book`` its own kind of book. Told a line on its standard input,
it answers with the CPU seconds that it took. Before the first answer it has
written the quotes, for comparison.
"""

import argparse
import sys
import time
from array import array
from pathlib import Path


def read(folder):
    """Return sides, prices, amounts and the offsets of messages."""
    columns = []
    for name, kind in (
        ("sides", "b"),
        ("prices", "d"),
        ("amounts", "d"),
        ("offsets", "q"),
    ):
        column = array(kind)
        column.frombytes((folder / name).read_bytes())
        columns.append(column.tolist())
    return columns


def follow_sorted(sides, prices, amounts, offsets):
    """Return the best bid and offer after each message."""
    from sortedcontainers import SortedDict

    bids, asks = SortedDict(), SortedDict()
    quotes = array("d")
    for message in range(len(offsets) - 1):
        for i in range(offsets[message], offsets[message + 1]):
            side = bids if sides[i] else asks
            if amounts[i]:
                side[prices[i]] = amounts[i]
            else:
                side.pop(prices[i], None)
        quotes.append(bids.peekitem(-1)[0])
        quotes.append(asks.peekitem(0)[0])
    return quotes


def follow_order_book(sides, prices, amounts, offsets):
    """Return the best bid and offer after each message."""
    from order_book import OrderBook

    book = OrderBook()
    quotes = array("d")
    for message in range(len(offsets) - 1):
        bids, asks = book.bids, book.asks
        for i in range(offsets[message], offsets[message + 1]):
            side = bids if sides[i] else asks
            if amounts[i]:
                side[prices[i]] = amounts[i]
            elif prices[i] in side:
                del side[prices[i]]
        quotes.append(book.bids.index(0)[0])
        quotes.append(book.asks.index(0)[0])
    return quotes


FOLLOW = {"sortedcontainers": follow_sorted, "order_book": follow_order_book}


def main():
    """Answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=FOLLOW)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    columns = read(given.folder)
    quotes = FOLLOW[given.name](*columns)
    (given.folder / f"quotes-{given.name}").write_bytes(quotes.tobytes())
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.process_time()
        FOLLOW[given.name](*columns)
        print(time.process_time() - began, flush=True)


if __name__ == "__main__":
    main()
