"""`trades_dedup` and `klines_final`, beside plain Python that knows no SQL."""

import random
from itertools import groupby

import pytest

from recorder import open_store
from recorder.model import Kline, Trade


RUNS = ("20240501T120000-abcdef.0", "20240501T130000-fedcba.0", "other.1")


def stored(store, fetch, table):
    """Return the rows of a view, in one order."""
    rows = fetch(store.sql(f"SELECT * FROM {table}"))
    return sorted(rows, key=place)


def place(row):
    return row["ts_recv"], row["conn"], row["seq"], row["idx"]


def trade(rng, noon):
    """Return a trade that may be like another, of a feed with or without ids."""
    second = rng.randrange(4)
    trade_id = rng.choice([None, second * 10 + rng.randrange(3)])
    ts_event = None if trade_id is None and rng.random() < 0.2 else noon + second
    return Trade(
        market=rng.choice(["BTC_USDT", "ETH_USDT"]),
        ts_event=ts_event,
        trade_id=trade_id,
        side="buy" if second % 2 else "sell",
        price="100.5" if trade_id is None else str(100 + trade_id),
        amount="2",
    )


def once(rows):
    """Return each trade once, as a reader with a list and a pencil would."""
    kept, seen = [], {}
    for row in sorted(rows, key=place):
        market = row["source"], row["market"]
        if row["trade_id"] is not None:
            key = *market, row["trade_id"]
        elif row["ts_event"] is None:
            kept.append(row)
            continue
        else:
            said = row["ts_event"], row["side"], row["price"], row["amount"]
            mine = seen.setdefault(("turns", *market, *said), {})
            mine[row["conn"]] = mine.get(row["conn"], 0) + 1
            key = *market, *said, mine[row["conn"]]
        if key not in seen:
            seen[key] = {}
            kept.append(row)
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_a_trade_is_there_once_whoever_recorded_it(maker, fetch, seed):
    rng = random.Random(seed)
    for conn in RUNS:
        for source in ("gate_spot", "harbour"):
            at = maker.noon + rng.randrange(50)
            events = [(at + n, trade(rng, maker.noon)) for n in range(60)]
            write = rng.choice([maker.segment, maker.journal])
            write(events, conn=conn, source=source)
    store = open_store(maker.root)
    rows = stored(store, fetch, "trades")

    found = stored(store, fetch, "trades_dedup")

    assert len(rows) == 360
    assert 0 < len(found) < 360
    assert found == sorted(once(rows), key=place)


def kline(rng, noon, *, has_times):
    """Return a push of a kline: some are older than what came before."""
    pushed = rng.randrange(1, 50)
    return Kline(
        market=rng.choice(["BTC_USDT", "ETH_USDT"]),
        ts_event=noon + pushed if has_times else None,
        interval=rng.choice(["1m", "5m"]),
        open_at=noon + rng.randrange(3) * 60_000_000_000,
        open="1",
        high="3",
        low="1",
        close=str(pushed),
        volume=None if rng.random() < 0.1 else str(pushed),
        turnover=None,
        is_closed=rng.choice([None, False, False, False, pushed > 40]),
    )


def last(rows):
    """Return the last version of each kline, by comparing them one by one."""
    best = {}
    for row in rows:
        key = row["source"], row["market"], row["interval"], row["open_at"]
        if key not in best or is_later(row, best[key]):
            best[key] = row
    return list(best.values())


def is_later(row, other):
    mine, theirs = row["is_closed"] is True, other["is_closed"] is True
    if mine != theirs:
        return mine
    for name in ("ts_event", "volume"):
        mine, theirs = row[name], other[name]
        if mine != theirs:
            return theirs is None or (mine is not None and mine > theirs)
    return place(row) > place(other)


@pytest.mark.parametrize("seed", range(3))
def test_a_kline_is_there_once_as_it_was_last(maker, fetch, seed):
    rng = random.Random(seed)
    for conn in RUNS:
        for source in ("gate_spot", "gate_v3"):
            at = maker.noon + rng.randrange(50)
            has_times = source == "gate_spot"
            events = [
                (at + n, kline(rng, maker.noon, has_times=has_times)) for n in range(60)
            ]
            rng.choice([maker.segment, maker.journal])(events, conn=conn, source=source)
    store = open_store(maker.root)
    rows = stored(store, fetch, "klines")

    found = stored(store, fetch, "klines_final")

    assert len(rows) == 360
    assert len(found) == 2 * 2 * 2 * 3
    assert found == sorted(last(rows), key=place)
    keys = [(r["source"], r["market"], r["interval"], r["open_at"]) for r in found]
    assert all(len([*same]) == 1 for _, same in groupby(sorted(keys)))


@pytest.mark.parametrize("view", ["trades_dedup", "klines_final"])
def test_of_nothing_each_is_an_empty_view_of_the_columns_of_its_table(maker, view):
    table, _, _ = view.partition("_")
    store = open_store(maker.root)

    found = store.sql(f"FROM {view}")

    assert found.columns == store.sql(f"FROM {table}").columns
    assert found.fetchall() == []
