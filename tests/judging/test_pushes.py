from types import SimpleNamespace

from recorder.judging import pushes
from recorder.judging.evidence import Stored
from recorder.model import Chain


def test_a_kline_that_was_fetched_afterwards_is_not_compared_with_a_book():
    chain = Chain("BTC_USDT", "klines:1m")
    row = Stored(1, "run.rest", 0, 0, {"open_at": 60, "origin": "backfill"})

    assert (
        pushes._judge_answers(SimpleNamespace(stored={chain: [row]}), chain, "") == []
    )
