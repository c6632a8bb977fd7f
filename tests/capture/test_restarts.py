"""Which streams may be asked for once more when nothing of them came."""

import pytest

from recorder.capture.restarts import silence_of
from recorder.model import Chain
from recorder.sources import load


@pytest.mark.parametrize(
    ("source", "stream", "is_asked_again"),
    [
        ("gate_futures", "trades", True),
        ("gate_futures", "depth:100ms", True),
        # Nobody is sold out for hours, then many are at once.
        ("gate_futures", "liquidations", False),
        ("gate_futures", "depth:obu.50", False),
        ("gate_v3", "orders", False),
        ("gate_v3", "trades", True),
    ],
)
def test_only_what_comes_again_and_again_is_asked_for_once_more(
    source, stream, is_asked_again
):
    chain = Chain("BTC_USDT", stream)
    silence = silence_of(load(source), [chain])
    silence.accepted(chain, 1, is_covered=False)

    assert bool(silence.take_probes(10**12)) == is_asked_again
