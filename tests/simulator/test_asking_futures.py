import pytest

from recorder.simulator.asking_futures import Asking
from recorder.simulator.depth_v4 import Topic
from recorder.simulator.envelope_v4 import Refusal, Request


ASKING = Asking({"BTC_USDT", "ETH_USDT"})


def asked(
    channel: str,
    payload: object,
    event: str = "subscribe",
    held: tuple[Topic, ...] = (),
) -> object:
    request = Request(channel=f"futures.{channel}", event=event, payload=payload)
    topics = ASKING.topics(request, held)
    return topics if isinstance(topics, Refusal) else list(topics)


@pytest.mark.parametrize(
    ("channel", "payload", "topics"),
    [
        ("trades", ["BTC_USDT", "ETH_USDT"], [("BTC_USDT", ""), ("ETH_USDT", "")]),
        ("tickers", ["BTC_USDT"], [("BTC_USDT", "")]),
        ("book_ticker", ["BTC_USDT"], [("BTC_USDT", "")]),
        ("public_liquidates", ["!all"], [("!all", "")]),
        ("public_liquidates", ["BTC_USDT"], [("BTC_USDT", "")]),
        ("candlesticks", ["1m", "BTC_USDT"], [("BTC_USDT", "1m")]),
        ("candlesticks", ["1m", "mark_BTC_USDT"], [("BTC_USDT", "mark.1m")]),
        ("candlesticks", ["7d", "index_BTC_USDT"], [("BTC_USDT", "index.7d")]),
        ("contract_stats", ["BTC_USDT", "10s"], [("BTC_USDT", "10s")]),
        ("order_book", ["BTC_USDT", "20", "0"], [("BTC_USDT", "top.20")]),
        ("order_book_update", ["BTC_USDT", "100ms", "100"], [("BTC_USDT", "100ms")]),
        ("order_book_update", ["BTC_USDT", "100ms", "50"], [("BTC_USDT", "100ms.50")]),
        ("order_book_update", ["BTC_USDT", "100ms"], [("BTC_USDT", "100ms.any")]),
        ("order_book_update", ["BTC_USDT", "20ms", "20"], [("BTC_USDT", "20ms")]),
        ("order_book_update", ["BTC_USDT", "20ms"], [("BTC_USDT", "20ms")]),
    ],
)
def test_a_request_names_its_topics(
    channel: str, payload: list[str], topics: list[tuple[str, str]]
):
    assert asked(channel, payload) == [Topic(channel, *topic) for topic in topics]


@pytest.mark.parametrize(
    ("channel", "payload", "message"),
    [
        ("nope", ["BTC_USDT"], "Unknown channel futures.nope"),
        ("trades", ["BTC_USDT", "BTC_USD"], "unknown contract: BTC_USD"),
        ("trades", ["!all"], "unknown contract: !all"),
        ("trades", [], "invalid argument: payload"),
        ("trades", [1], "invalid argument: payload"),
        ("trades", "BTC_USDT", "invalid argument: payload"),
        ("candlesticks", ["1m"], "interval, contract"),
        ("candlesticks", ["3m", "BTC_USDT"], "incorrect interval specified: 3m"),
        ("candlesticks", ["1m", "last_BTC_USDT"], "unknown contract: last_BTC"),
        ("contract_stats", ["BTC_USDT"], "contract, interval"),
        ("contract_stats", ["BTC_USDT", "2s"], "incorrect interval specified: 2s"),
        ("contract_stats", ["BTC_USD", "1m"], "unknown contract: BTC_USD"),
        ("order_book", ["BTC_USDT", "20"], "contract, limit, step"),
        ("order_book", ["BTC_USDT", "30", "0"], "level not supported: 30"),
        ("order_book", ["BTC_USDT", "20", "0.1"], "incorrect interval"),
        ("order_book", ["BTC_USD", "20", "0"], "unknown contract: BTC_USD"),
        ("order_book_update", ["BTC_USDT"], "contract, pace, level"),
        ("order_book_update", ["BTC_USD", "20ms"], "unknown contract: BTC_USD"),
        ("order_book_update", ["BTC_USDT", "1s"], "update interval specified: 1s"),
        ("order_book_update", ["BTC_USDT", "20ms", "50"], "level not supported: 50"),
        ("order_book_update", ["BTC_USDT", "100ms", "10"], "level not supported: 10"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    channel: str, payload: object, message: str
):
    refusal = asked(channel, payload)

    assert isinstance(refusal, Refusal)
    assert refusal.code == 2
    assert message in refusal.message


def test_events_that_nobody_knows_are_refused_as_invalid():
    assert asked("trades", ["BTC_USDT"], "update") == Refusal(
        1, "unknown event: update"
    )


HELD = (
    Topic("order_book_update", "BTC_USDT", "100ms.50"),
    Topic("order_book_update", "BTC_USDT", "100ms"),
    Topic("order_book_update", "BTC_USDT", "20ms"),
    Topic("order_book_update", "ETH_USDT", "100ms"),
    Topic("contract_stats", "BTC_USDT", "1m"),
    Topic("contract_stats", "ETH_USDT", "10s"),
)


def test_books_can_be_ended_without_naming_their_levels():
    assert asked("order_book_update", ["BTC_USDT", "100ms"], "unsubscribe", HELD) == [
        *HELD[:2]
    ]
    assert asked(
        "order_book_update", ["BTC_USDT", "100ms", "50"], "unsubscribe", HELD
    ) == [HELD[0]]


def test_all_statistics_can_be_ended_at_once():
    every = list(HELD[-2:])

    assert asked("contract_stats", ["unsub_all", "1m"], "unsubscribe", HELD) == every
    assert asked("contract_stats", None, "unsub_all", HELD) == every


def test_the_speed_of_a_book_follows_from_its_topic():
    speeds = {
        parameter: ASKING.speed_of(Topic("order_book_update", "BTC_USDT", parameter))
        for parameter in ("100ms", "100ms.50", "100ms.any", "20ms")
    }

    assert speeds == {
        "100ms": ("100ms", 100),
        "100ms.50": ("100ms", 50),
        "100ms.any": ("100ms", 0),
        "20ms": ("20ms", 20),
    }
