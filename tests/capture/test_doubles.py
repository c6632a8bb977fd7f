"""One event is stored once."""

from hypothesis import given, strategies as st

from recorder.capture.doubles import (
    REMEMBERED_KLINES,
    REMEMBERED_STATUS,
    REMEMBERED_TRADES,
    Doubles,
)
from recorder.model import Kline, StatusEvent, Trade


def trade(trade_id: int | None, market: str = "BTC_USDT") -> Trade[str]:
    return Trade(
        market=market,
        ts_event=1,
        trade_id=trade_id,
        side="buy",
        price="1",
        amount="2",
    )


def kline(close: str, *, ts_event: int = 1, open_at: int = 60) -> Kline[str]:
    return Kline(
        market="BTC_USDT",
        ts_event=ts_event,
        interval="1m",
        open_at=open_at,
        open="1",
        high="3",
        low="1",
        close=close,
    )


def test_a_trade_is_new_once_in_each_market():
    doubles = Doubles()

    assert doubles.is_new_trade(trade(7))
    assert not doubles.is_new_trade(trade(7))
    assert doubles.is_new_trade(trade(7, "ETH_USDT"))


def test_a_trade_without_an_id_is_always_new():
    doubles = Doubles()

    assert doubles.is_new_trade(trade(None))
    assert doubles.is_new_trade(trade(None))


def test_seeded_ids_are_known():
    doubles = Doubles()
    doubles.seed_trades("BTC_USDT", [5, 6])

    assert not doubles.is_new_trade(trade(6))
    assert doubles.is_new_trade(trade(8))


def test_only_so_many_ids_are_remembered():
    doubles = Doubles()
    for number in range(REMEMBERED_TRADES + 1):
        doubles.is_new_trade(trade(number))

    assert not doubles.is_new_trade(trade(1))
    assert doubles.is_new_trade(trade(0))


def test_a_kline_is_doubled_only_by_another_connection():
    doubles = Doubles()

    assert doubles.is_new_kline(kline("2"), "run.0")
    assert doubles.is_new_kline(kline("2"), "run.0")
    assert not doubles.is_new_kline(kline("2", ts_event=9), "run.1")
    assert doubles.is_new_kline(kline("3"), "run.2")


def test_a_new_connection_that_begins_with_two_klines_repeats_both():
    doubles = Doubles()
    closed, current = kline("2"), kline("5", open_at=120)
    assert doubles.is_new_kline(closed, "run.0")
    assert doubles.is_new_kline(current, "run.0")

    assert not doubles.is_new_kline(closed, "run.1")
    assert not doubles.is_new_kline(current, "run.1")
    assert doubles.is_new_kline(kline("6", open_at=120), "run.1")


def test_klines_too_old_to_be_remembered_are_stored_again_rather_than_lost():
    doubles = Doubles()
    for number in range(REMEMBERED_KLINES + 1):
        doubles.is_new_kline(kline("2", open_at=60 * number), "run.0")

    assert doubles.is_new_kline(kline("2", open_at=0), "run.1")
    last = kline("2", open_at=60 * REMEMBERED_KLINES)
    assert not doubles.is_new_kline(last, "run.1")


HISTORY = 100
"""Latest trades that a venue pushes to a new connection."""

IDS = st.integers(1, 5)
"""Ids of a market grow, but not one by one."""


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("trade"), st.lists(IDS, min_size=1, max_size=120)),
            st.tuples(st.just("missed"), st.lists(IDS, min_size=1, max_size=120)),
            st.tuples(st.just("connect"), st.none()),
            st.tuples(st.just("repeat"), st.integers(1, 20)),
        ),
        max_size=40,
    ),
    is_newest_first=st.booleans(),
)
def test_over_any_reconnects_each_trade_that_came_is_stored_once(
    steps, is_newest_first
):
    """A venue that trades while we listen, and while we do not.

    What it pushed is counted here by plain sets that forget nothing.
    """
    doubles = Doubles()
    happened: list[int] = [0]
    pushed: set[int] = set()
    stored: list[int] = []

    def push(ids: list[int]) -> None:
        pushed.update(ids)
        stored.extend(i for i in ids if doubles.is_new_trade(trade(i)))

    for what, given_ in steps:
        if what in ("trade", "missed"):
            fresh = [happened[-1] + sum(given_[: n + 1]) for n in range(len(given_))]
            happened += fresh
            if what == "trade":
                push(fresh)
        elif what == "connect":
            latest = happened[-HISTORY:]
            push(latest[::-1] if is_newest_first else latest)
        elif stored:
            push(stored[-given_:])  # a frame that is sent twice

    assert len(stored) == len(set(stored))
    assert set(stored) == pushed
    assert all(len(r._keys) <= REMEMBERED_TRADES for r in doubles._trades.values())


def test_the_longest_time_between_a_trade_and_its_repetition_is_remembered():
    doubles = Doubles()
    for trade_id in range(200, 100, -1):  # the history that a connection begins with
        assert doubles.is_new_trade(trade(trade_id))
    for trade_id in range(201, 300):
        assert doubles.is_new_trade(trade(trade_id))

    again = range(299, 199, -1)  # the history of the next connection

    assert not any(doubles.is_new_trade(trade(trade_id)) for trade_id in again)


@given(
    steps=st.lists(
        st.sampled_from(["change", "close", "connect", "lose"]), max_size=60
    ),
    shown=st.integers(1, 3),
)
def test_over_any_reconnects_each_kline_that_came_is_stored_once(steps, shown):
    """A venue whose current kline changes and closes, listened to or not.

    A new connection begins with the current kline and some that closed.
    """
    doubles = Doubles()
    klines = [kline("1", open_at=0)]
    conn = 0
    is_listening = True
    pushed: set[tuple[int, str]] = set()
    stored: list[tuple[int, str]] = []

    def push(event: Kline[str]) -> None:
        pushed.add((event.open_at, event.close))
        if doubles.is_new_kline(event, f"run.{conn}"):
            stored.append((event.open_at, event.close))

    push(klines[-1])
    for number, what in enumerate(steps, start=2):
        if what == "connect":
            conn += 1
            is_listening = True
            for event in klines[-shown:]:
                push(event)
        elif what == "lose":
            is_listening = False
        else:
            open_at = klines[-1].open_at
            if what == "close":
                klines.append(kline(str(number), open_at=open_at + 60))
            else:
                klines[-1] = kline(str(number), open_at=open_at)
            if is_listening:
                push(klines[-1])

    assert len(stored) == len(set(stored))
    assert set(stored) == pushed
    assert all(len(last) <= REMEMBERED_KLINES for last in doubles._klines.values())


def test_a_status_event_is_known_by_its_content():
    doubles = Doubles()

    assert doubles.is_new_status(StatusEvent(kind="upgrade", payload="a"))
    assert not doubles.is_new_status(StatusEvent(kind="upgrade", payload="a"))
    assert doubles.is_new_status(StatusEvent(kind="upgrade", payload="b"))


def test_while_two_connections_bring_them_many_status_events_are_remembered():
    many = [
        StatusEvent(kind="maintenance", payload=f'{{"at":{number}}}')
        for number in range(2 * REMEMBERED_STATUS)
    ]
    doubles = Doubles()
    doubles.remember_more(is_more=True)

    assert [doubles.is_new_status(event) for event in many] == [True] * len(many)
    assert not doubles.is_new_status(many[0])
    doubles.remember_more(is_more=False)
    assert doubles.is_new_status(StatusEvent(kind="maintenance", payload="{}"))
    assert doubles.is_new_status(many[0])
    assert not doubles.is_new_status(many[-1])


def test_a_status_event_is_the_same_however_its_keys_are_ordered():
    doubles = Doubles()

    def is_new(payload: str, **facts: str) -> bool:
        return doubles.is_new_status(StatusEvent(payload=payload, **facts))

    assert is_new('{"a":"1","b":{"c":1}}', kind="maintenance", state="ongoing")
    assert not is_new('{ "b": {"c":1}, "a": "1" }', kind="maintenance", state="ongoing")
    assert is_new('{"a":"1","b":{"c":1}}', kind="maintenance", state="completed")
    assert is_new('{"a":"1","b":{"c":1}}', kind="upgrade", state="ongoing")
    assert is_new('{"a":"1","b":{"c":2}}', kind="maintenance", state="ongoing")
    assert is_new('{"a":1,"b":{"c":1}}', kind="maintenance", state="ongoing")
    assert is_new("[" * 100_000, kind="maintenance")


def test_what_an_earlier_run_stored_is_known_by_its_content():
    doubles = Doubles()
    doubles.seed_status([("news", None, '{"a":1,"b":2}'), ("news", "old", "{}")])

    def is_new(payload: str, **facts: str) -> bool:
        return doubles.is_new_status(StatusEvent(kind="news", payload=payload, **facts))

    assert not is_new('{"b":2,"a":1}')
    assert not is_new('{"a":1,"b":2}')
    assert is_new("{}")
    assert not is_new("{}", state="old")
    assert is_new('{"a":1,"b":3}')


def test_what_its_feed_says_makes_a_status_event_the_same_comes_before_content():
    """Also of what an earlier run stored; a content is no identity."""
    news = {"noon": "ABC is listed", "one": "ABC is listed", "two": "DEF is listed"}
    doubles = Doubles(news.get)
    later = Doubles(news.get)
    later.seed_status([("news", None, "noon"), ("news", None, "other")])

    def is_new(filter_: Doubles, payload: str) -> bool:
        return filter_.is_new_status(StatusEvent(kind="news", payload=payload))

    told = ("noon", "one", "two", "ABC is listed", "other")
    assert [is_new(doubles, payload) for payload in told] == [1, 0, 1, 1, 1]
    assert [is_new(later, payload) for payload in told] == [0, 0, 1, 1, 0]
