"""Which streams are silent though they should not be."""

import pytest

from recorder.capture.silence import (
    FIRST_PROBE_NS,
    LAG_NS,
    PATIENCE_NS,
    PROBE_GROWTH,
    PROBE_PAUSE_MAX_NS,
    PROBE_ROWS,
    RESTART_FIRST_NS,
    RESTART_MAX_NS,
    SECOND_NS,
    Silence,
)
from recorder.model import Chain, Ticker, Trade
from recorder.source import Witness


TRADES = Chain("A_B", "trades")
TICKERS = Chain("A_B", "tickers")
OTHERS = Chain("C_D", "trades")
BOOK = Chain("A_B", "depth:10")
KLINES = Chain("A_B", "klines:1m")
MARKS = Chain("A_B", "klines:mark.1m")
T0 = 1_000 * SECOND_NS

WITNESSES = (
    Witness(by="tickers", of=("trades",), changed=("last",), signs=2),
    Witness(by="trades", of=("tickers",), signs=2),
    Witness(by="trades", of=("depth",), signs=5),
    Witness(by="trades", of=("klines:[0-9]*",), signs=2),
)


class Desk:
    """Chains that were all accepted at `T0`, with a clock to be moved."""

    def __init__(self, *chains: Chain) -> None:
        self.now = T0
        self.silence = Silence(WITNESSES, chains, [c for c in chains if c != BOOK])
        self.price = 0
        for chain in chains:
            self.silence.accepted(chain, T0, is_covered=False)

    def wait(self, ns: int) -> None:
        self.now += ns

    def ticker(self, *, is_new: bool = True) -> None:
        self.price += is_new
        event = Ticker(market="A_B", ts_event=None, last=str(self.price))
        self.silence.heard[TICKERS] = self.now
        self.silence.saw(TICKERS, self.now, event)

    def trade(self, chain: Chain = TRADES) -> None:
        event = Trade(
            market=chain.market,
            ts_event=None,
            trade_id=1,
            side="buy",
            price="1",
            amount="1",
        )
        self.silence.heard[chain] = self.now
        self.silence.saw(chain, self.now, event)

    def tickers(self, seconds: int) -> None:
        """Have the last price change every second, from now on."""
        for _ in range(seconds):
            self.ticker()
            self.wait(SECOND_NS)

    def silent(self) -> list[tuple[Chain, int]]:
        return [(s.chain, s.since) for s in self.silence.take_silent(self.now)]


LONG = (LAG_NS + PATIENCE_NS) // SECOND_NS + 3


# What other streams tell


def test_a_stream_that_others_tell_of_is_silent_since_its_acceptance() -> None:
    desk = Desk(TRADES, TICKERS)

    desk.tickers(LONG)

    assert desk.silent() == [(TRADES, T0)]
    assert desk.silent() == []


def test_a_stream_that_worked_is_silent_since_its_last_row() -> None:
    desk = Desk(TRADES, TICKERS)
    desk.wait(SECOND_NS)
    desk.trade()
    last = desk.now

    desk.tickers(LONG)

    assert desk.silent() == [(TRADES, last + 1)]


def test_a_quiet_market_is_not_silent() -> None:
    desk = Desk(TRADES, TICKERS)

    for _ in range(1_000):
        desk.ticker(is_new=False)
        desk.wait(SECOND_NS)

    assert desk.silent() == []


def test_another_market_tells_nothing() -> None:
    desk = Desk(TRADES, TICKERS, OTHERS)
    desk.wait(LAG_NS)
    for _ in range(100):
        desk.trade(OTHERS)
        desk.wait(SECOND_NS)

    assert desk.silent() == []


def test_of_the_streams_of_a_table_only_those_are_judged_that_are_told_of() -> None:
    desk = Desk(TRADES, KLINES, MARKS)
    desk.wait(LAG_NS)
    for _ in range(100):
        desk.trade()
        desk.wait(SECOND_NS)

    assert desk.silent() == [(KLINES, T0)]


def test_what_a_row_has_told_already_is_no_sign() -> None:
    desk = Desk(TRADES, TICKERS)

    # Each trade is followed by the ticker that tells of it.
    for _ in range(50):
        desk.trade()
        desk.wait(LAG_NS - SECOND_NS)
        desk.ticker()
        desk.wait(LAG_NS + 5 * SECOND_NS)

    assert desk.silent() == []


def test_a_ticker_is_compared_with_one_that_may_be_older_than_the_row() -> None:
    desk = Desk(TRADES, TICKERS)
    desk.ticker()
    desk.wait(3 * LAG_NS)
    desk.trade()
    desk.wait(2 * LAG_NS)

    desk.ticker()  # tells of the trade, and of nothing else
    desk.wait(PATIENCE_NS)

    assert desk.silent() == []


def test_a_stream_has_time_to_come() -> None:
    desk = Desk(TRADES, TICKERS)
    desk.wait(LAG_NS)
    desk.tickers(3)
    assert desk.silent() == []

    desk.trade()
    desk.wait(PATIENCE_NS)

    assert desk.silent() == []


def test_signs_at_once_count_as_one() -> None:
    desk = Desk(TICKERS, TRADES)
    desk.wait(LAG_NS)
    for _ in range(20):  # one order that takes many others
        desk.trade()
    desk.wait(PATIENCE_NS)
    assert desk.silent() == []

    desk.trade()

    assert desk.silent() == [(TICKERS, T0)]


def test_as_many_signs_are_wanted_as_the_feed_says() -> None:
    desk = Desk(BOOK, TRADES)
    desk.wait(LAG_NS)
    for _ in range(4):
        desk.trade()
        desk.wait(PATIENCE_NS)
    assert desk.silent() == []

    desk.trade()

    assert desk.silent() == [(BOOK, T0)]


def test_a_chain_that_is_not_accepted_is_not_judged() -> None:
    desk = Desk(TRADES, TICKERS)
    desk.tickers(LONG)
    desk.silence.lost(TRADES)

    desk.tickers(LONG)
    assert desk.silent() == []

    again = desk.now
    desk.silence.accepted(TRADES, again, is_covered=False)
    desk.tickers(LONG)
    assert desk.silent() == [(TRADES, again)]


# Starting afresh


def restart_waits(desk: Desk, times: int) -> list[int]:
    """Return how long a chain waits that is silent again and again."""
    waits = []
    for _ in range(times):
        desk.tickers(LONG)
        assert [chain for chain, _ in desk.silent()] == [TRADES]
        found = desk.now
        while not desk.silence.take_restarts(desk.now):
            desk.wait(SECOND_NS)
        waits.append(desk.now - found)
        assert desk.silence.take_restarts(desk.now + FIRST_PROBE_NS) == []
        desk.silence.accepted(TRADES, desk.now, is_covered=False)
    return waits


def test_what_is_silent_is_started_afresh_with_growing_pauses() -> None:
    waits = restart_waits(Desk(TRADES, TICKERS), 10)

    assert waits[:4] == [
        0,
        RESTART_FIRST_NS,
        2 * RESTART_FIRST_NS,
        4 * RESTART_FIRST_NS,
    ]
    assert waits[-1] == RESTART_MAX_NS


def test_after_rows_have_come_a_restart_is_not_delayed() -> None:
    desk = Desk(TRADES, TICKERS)
    restart_waits(desk, 3)
    desk.wait(SECOND_NS)
    desk.trade()

    assert restart_waits(desk, 2) == [0, RESTART_FIRST_NS]


def test_a_row_ends_the_wait_for_a_restart() -> None:
    desk = Desk(TRADES, TICKERS)
    restart_waits(desk, 1)
    desk.tickers(LONG)
    assert desk.silent()
    assert desk.silence.take_recovered() == []

    desk.wait(SECOND_NS)
    desk.trade()

    assert desk.silence.take_recovered() == [(TRADES, desk.now)]
    desk.wait(RESTART_MAX_NS)
    assert desk.silence.take_restarts(desk.now) == []
    assert TRADES not in desk.silence.take_probes(desk.now)


def test_a_restart_that_was_asked_for_ends_with_its_answer_only() -> None:
    desk = Desk(TRADES, TICKERS)
    desk.tickers(LONG)
    assert desk.silent()
    assert desk.silence.take_restarts(desk.now) == [TRADES]

    desk.wait(SECOND_NS)
    desk.trade()

    assert desk.silence.take_recovered() == []


# Asking once more


def probe(desk: Desk) -> int:
    """Wait for the next probe and have it answered; return when."""
    while TRADES not in desk.silence.take_probes(desk.now):
        desk.wait(SECOND_NS)
    desk.silence.accepted(TRADES, desk.now, is_covered=True)
    return desk.now


def was_silent(desk: Desk) -> list[tuple[Chain, int, int]]:
    return [w[:3] for w in desk.silence.take_was_silent(desk.now)]


def test_rows_as_soon_as_it_is_asked_again_tell_of_a_silence_before() -> None:
    desk = Desk(TRADES)
    answered = probe(desk)
    assert answered == T0 + FIRST_PROBE_NS

    found = []
    for _ in range(PROBE_ROWS):
        desk.wait(SECOND_NS)
        desk.trade()
        found.append(was_silent(desk))

    assert found[:-1] == [[]] * (PROBE_ROWS - 1)
    assert found[-1] == [(TRADES, T0, answered)]
    desk.wait(FIRST_PROBE_NS)
    desk.trade()
    assert was_silent(desk) == []


def test_rows_of_one_moment_are_not_many() -> None:
    desk = Desk(TRADES)
    probe(desk)

    for _ in range(50):
        desk.wait(SECOND_NS // 100)
        desk.trade()
        assert was_silent(desk) == []


def test_a_market_that_is_as_slow_as_before_was_not_silent() -> None:
    desk = Desk(TRADES)
    probe(desk)

    for _ in range(10):
        desk.wait(FIRST_PROBE_NS // 2 + SECOND_NS)
        desk.trade()
        assert was_silent(desk) == []


def test_a_row_before_the_answer_shows_that_it_worked_before() -> None:
    desk = Desk(TRADES)
    desk.wait(FIRST_PROBE_NS)
    assert desk.silence.take_probes(desk.now) == [TRADES]
    desk.trade()
    desk.wait(1)
    desk.silence.accepted(TRADES, desk.now, is_covered=True)

    for _ in range(5):
        desk.wait(SECOND_NS)
        desk.trade()
        assert was_silent(desk) == []


def test_probes_become_rare() -> None:
    desk = Desk(TRADES)

    since = [probe(desk) - T0 for _ in range(7)]

    assert since[:4] == [FIRST_PROBE_NS * PROBE_GROWTH**n for n in range(4)]
    assert since[-1] - since[-2] == PROBE_PAUSE_MAX_NS


def test_a_stream_that_brought_a_row_is_not_asked_for_again() -> None:
    desk = Desk(TRADES)
    desk.wait(1)
    desk.trade()

    desk.wait(PROBE_PAUSE_MAX_NS)

    assert desk.silence.take_probes(desk.now) == []


def test_only_what_may_be_asked_for_again_is() -> None:
    desk = Desk(BOOK)
    desk.wait(PROBE_PAUSE_MAX_NS)

    assert desk.silence.take_probes(desk.now) == []


@pytest.mark.parametrize("chain", [TRADES, BOOK])
def test_what_was_refused_is_left_alone(chain: Chain) -> None:
    desk = Desk(chain)
    desk.silence.lost(chain)
    desk.wait(PROBE_PAUSE_MAX_NS)

    assert desk.silence.take_probes(desk.now) == []
    assert desk.silence.take_restarts(desk.now) == []
