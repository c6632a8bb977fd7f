"""The peer of `replay`, hftbacktest: runs in an environment of its own.

Told by lines on its standard input, it replays the events of an ``.npz``,
reads the best bid and offer after every message, and answers with a line:
the seconds of CPU that loading and replaying took. ``memory`` starts from an
array in memory, ``disk`` from the file. Before the first answer it has
written the quotes to a ``.npy`` for comparison.
"""

import argparse
import sys
import time

import numba
import numpy as np
from hftbacktest import BacktestAsset, ROIVectorMarketDepthBacktest


@numba.njit
def quote(hbt, step_ns, quotes):
    """Fill in best bid and best ask after every message."""
    for message in range(quotes.shape[0]):
        if hbt.elapse(step_ns) != 0:
            return message
        depth = hbt.depth(0)
        quotes[message, 0] = depth.best_bid
        quotes[message, 1] = depth.best_ask
    return quotes.shape[0]


def run(data, given, quotes):
    """Return the CPU seconds of loading, and of replaying."""
    began = time.process_time()
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.0)
        .tick_size(given.tick)
        .lot_size(given.lot)
        .roi_lb(given.lowest)
        .roi_ub(given.highest)
        .last_trades_capacity(0)
    )
    hbt = ROIVectorMarketDepthBacktest([asset])
    loaded = time.process_time()
    quote(hbt, given.step, quotes)
    done = time.process_time()
    hbt.close()
    return loaded - began, done - loaded


def main():
    """Answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", required=True)
    parser.add_argument("--quotes", required=True)
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--step", type=int, required=True)
    for name in ("tick", "lot", "lowest", "highest"):
        parser.add_argument(f"--{name}", type=float, required=True)
    given = parser.parse_args()
    in_memory = np.load(given.events)["data"]
    quotes = np.full((given.messages, 2), np.nan)
    run(in_memory, given, quotes)  # compiles
    np.save(given.quotes, quotes)
    print("ready", flush=True)
    for line in sys.stdin:
        data = [given.events] if line.strip() == "disk" else in_memory
        print(*run(data, given, quotes), flush=True)


if __name__ == "__main__":
    main()
