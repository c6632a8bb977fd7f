"""A new run knows the last trades and status events of the run before it."""

import pyarrow as pa
import pytest

from recorder.capture import seeds as module
from recorder.capture.doubles import (
    REMEMBERED_STATUS,
    REMEMBERED_TRADES,
    Doubles,
)
from recorder.capture.seeds import seed_status, seed_trades
from recorder.model import NO_MARKET, Chain, StatusEvent, Trade
from recorder.store.batch import build
from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem
from recorder.store.listing import open_listing
from recorder.store.segment import write_segment
from recorder.store.tables import TABLES


BTC = Chain("BTC_USDT", "trades")
ETH = Chain("ETH_USDT", "trades")
STATUS = Chain(NO_MARKET, "status:fees")
DAY = 19_000 * 86_400 * 10**9


def trade(market, trade_id, origin="live"):
    return Trade(
        origin=origin,
        market=market,
        ts_event=None,
        trade_id=trade_id,
        side="sell",
        price="1",
        amount="1",
    )


class Past:
    """A store with trades of earlier runs."""

    def __init__(self, root) -> None:
        self.root = root
        self.segments = 0

    def stored(self, market, ids, source="fake", origin="live") -> None:
        """Write a segment, newer than those before."""
        trades = [trade(market, trade_id, origin) for trade_id in ids]
        self._write("trades", source, trades)

    def left(self, market, ids, number) -> None:
        """Leave rows in a journal, as a run does that is killed."""
        rows = [(DAY + n, "run.0", n, 0, trade(market, i), None) for n, i in ids]
        partition = Partition("trades", "fake", "2022-01-08")
        journal = Journal(self.root, partition, Stem(DAY, f"run{number}", 0))
        journal.append(build(TABLES["trades"], rows).batch)
        journal.close()

    def told(self, *events, source="fake") -> None:
        """Write a segment of status events, newer than those before."""
        self._write("status", source, events)

    def _write(self, table, source, events) -> None:
        self.segments += 1
        at = DAY + self.segments * 10**9
        rows = [(at + n, "run.0", n, 0, event, None) for n, event in enumerate(events)]
        write_segment(
            self.root,
            Partition(table, source, "2022-01-08"),
            Stem(at, "run", self.segments),
            pa.Table.from_batches([build(TABLES[table], rows).batch]),
        )

    def seed(self, *chains) -> Doubles:
        doubles = Doubles()
        seed_trades(doubles, open_listing(self.root), "fake", chains)
        seed_status(doubles, open_listing(self.root), "fake", chains)
        return doubles


@pytest.fixture
def past(tmp_path):
    return Past(tmp_path)


def new_ids(doubles, market, ids):
    return [i for i in ids if doubles.is_new_trade(trade(market, i))]


def test_trades_that_were_stored_before_are_known(past):
    past.stored("BTC_USDT", [1, 2, 3])
    past.stored("BTC_USDT", [4, None, 5])
    past.stored("ETH_USDT", [6])

    doubles = past.seed(BTC, ETH)

    assert new_ids(doubles, "BTC_USDT", range(1, 8)) == [6, 7]
    assert new_ids(doubles, "ETH_USDT", range(1, 8)) == [1, 2, 3, 4, 5, 7]


def test_trades_that_are_in_journals_still_are_known(past):
    past.stored("BTC_USDT", [1])
    past.left("BTC_USDT", [(5, 2), (6, 3)], 1)
    past.left("BTC_USDT", [(7, 4)], 2)

    assert new_ids(past.seed(BTC), "BTC_USDT", range(1, 6)) == [5]


def test_what_was_fetched_does_not_stand_for_what_was_pushed(past):
    """A run that healed an old gap stored many trades that are not the last."""
    past.stored("BTC_USDT", [900, 901])
    past.stored("BTC_USDT", range(REMEMBERED_TRADES), origin="backfill")
    past.stored("BTC_USDT", [902])

    assert new_ids(past.seed(BTC), "BTC_USDT", range(899, 904)) == [899, 903]


def test_of_a_long_journal_the_end_is_remembered(past, monkeypatch):
    monkeypatch.setattr(module, "PIECE_ROWS", REMEMBERED_TRADES)
    count = 3 * REMEMBERED_TRADES
    past.left("BTC_USDT", list(enumerate(range(count))), 1)

    doubles = past.seed(BTC)

    last = range(count - REMEMBERED_TRADES, count)
    assert new_ids(doubles, "BTC_USDT", last) == []
    assert new_ids(doubles, "BTC_USDT", [last[0] - 1]) == [last[0] - 1]


def test_only_the_last_ones_are_remembered(past):
    past.stored("BTC_USDT", range(REMEMBERED_TRADES))
    past.stored("BTC_USDT", range(1_000, 1_003))

    doubles = past.seed(BTC)

    last = [REMEMBERED_TRADES - 1, 1_000, 1_002]
    assert new_ids(doubles, "BTC_USDT", last) == []
    assert new_ids(doubles, "BTC_USDT", [0, 1, 2]) == [0, 1, 2]


def test_other_sources_and_other_streams_say_nothing(past):
    past.stored("BTC_USDT", [1], source="other")
    past.stored("ETH_USDT", [1])

    assert new_ids(past.seed(BTC), "BTC_USDT", [1]) == [1]
    assert new_ids(past.seed(Chain("ETH_USDT", "bbo")), "ETH_USDT", [1]) == [1]


def test_the_search_ends_with_what_is_wanted_or_after_so_many_segments(
    past, monkeypatch
):
    read = []

    def read_segment(path, *rest):
        read.append(path)
        return original(path, *rest)

    original = module.read_segment
    monkeypatch.setattr(module, "read_segment", read_segment)
    monkeypatch.setattr(module, "SEED_SEGMENTS_MAX", 3)
    past.stored("ETH_USDT", [1])
    for n in range(3):
        past.stored("BTC_USDT", range(n * 1_000, n * 1_000 + REMEMBERED_TRADES))

    past.seed(BTC)
    assert len(read) == 1
    doubles = past.seed(BTC, ETH)
    assert len(read) == 4
    assert new_ids(doubles, "ETH_USDT", [1]) == [1]


def test_an_empty_store_has_nothing_to_say(past):
    assert new_ids(past.seed(BTC), "BTC_USDT", [1]) == [1]


def news(number, state="fees"):
    return StatusEvent(kind="news", state=state, payload=f'{{"number":{number}}}')


def test_status_events_that_were_stored_before_are_known(past):
    past.told(news(1), news(2, state=None))
    past.told(news(3))
    past.told(news(4), source="other")

    doubles = past.seed(STATUS)

    new = [event for event in map(news, range(1, 6)) if doubles.is_new_status(event)]
    assert new == [news(2), news(4), news(5)]
    assert not doubles.is_new_status(news(2, state=None))


def test_who_records_no_status_need_not_know_any(past):
    past.told(news(1))

    assert past.seed(BTC).is_new_status(news(1))


def test_only_the_last_status_events_are_remembered(past):
    past.told(news(0))
    past.told(*(news(number) for number in range(1, REMEMBERED_STATUS + 1)))
    past.told(news(5_000))

    doubles = past.seed(STATUS)

    assert doubles.is_new_status(news(0))
    assert doubles.is_new_status(news(1))
    assert not doubles.is_new_status(news(2))
    assert not doubles.is_new_status(news(5_000))
