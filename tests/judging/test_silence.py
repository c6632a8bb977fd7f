"""A stream that was accepted and silent: until when need nobody know it?"""

from types import SimpleNamespace

import pytest

from recorder.judging.evidence import FOUND_NS
from recorder.judging.trades import BATCH_NS, unfound_silence
from recorder.model import Chain


TRADES = Chain("BTC_USDT", "trades")
SILENT_AT = 100_000_000_000
SOON = SILENT_AT + FOUND_NS - 1


def silence(*, ended_at=SOON, sent=(), market="BTC_USDT", reason="process_stopped"):
    """Return the times of which nothing is asked, of one silent acceptance."""
    fault = SimpleNamespace(
        ts_ns=SILENT_AT, feed="v4", market=market, stream="trades", conn=1
    )
    frames = [SimpleNamespace(ts_ns=at) for at in sent]
    gap = SimpleNamespace(reason=reason, started_at=ended_at)
    evidence = SimpleNamespace(
        feed="v4",
        sent_to=lambda _chain: {1: frames},
        gaps_of=lambda _chain, _scope: [gap],
        truth=SimpleNamespace(faults_of=lambda _name: [fault]),
    )
    return unfound_silence(evidence, TRADES)


def test_a_run_that_ends_before_a_silence_can_be_found_need_not_tell_of_it():
    assert silence() == [(SILENT_AT - BATCH_NS, SOON)]
    assert silence(sent=[SILENT_AT - 1]) == [(SILENT_AT - BATCH_NS, SOON)]


@pytest.mark.parametrize(
    "other",
    [
        {"ended_at": SILENT_AT + FOUND_NS},
        {"ended_at": SILENT_AT},
        {"sent": [SILENT_AT + 1]},
        {"market": "ETH_USDT"},
        {"reason": "connect_lost"},
    ],
    ids=["found", "ended before", "not silent", "another market", "no end"],
)
def test_of_any_other_silence_it_must_tell(other):
    assert silence(**other) == []
