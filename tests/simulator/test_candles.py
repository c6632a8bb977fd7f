from recorder.simulator.candles import Candles, merged


def test_a_new_interval_opens_with_its_first_trade():
    candles = Candles()
    candles.add(100, 2, 59)
    candles.add(103, 1, 60)
    candles.add(99, 4, 61)

    first, second = candles.rows(60)
    assert (first.open_at, first.open, first.close, first.volume) == (0, 100, 100, 2)
    assert (second.open_at, second.open, second.high) == (60, 103, 103)
    assert (second.low, second.close, second.volume) == (99, 99, 5)
    assert second.turnover == 103 + 4 * 99
    assert second.trades == 2


def test_a_summary_forgets_what_is_older_than_its_period():
    candles = Candles()
    candles.add(100, 1, 0)
    candles.add(110, 2, 200)
    candles.add(105, 3, 250)

    recent = candles.summary(100, 260)
    everything = candles.summary(86_400, 260)

    assert recent is not None
    assert (recent.open, recent.high, recent.volume) == (110, 110, 5)
    assert everything is not None
    assert (everything.open, everything.low, everything.volume) == (100, 100, 6)
    assert candles.summary(100, 10_000) is None


def test_nothing_merged_is_nothing():
    assert merged([]) is None
