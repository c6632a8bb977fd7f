"""What a run is to do is checked before anything is opened."""

from pathlib import Path

import pytest

from recorder.capture.plan import plan_capture
from recorder.config import CaptureConfig
from recorder.errors import ConfigError
from recorder.model import Chain
from recorder.sources import load, names


SOURCE = names()[0]


def plan(**changes):
    config = {
        "source": SOURCE,
        "markets": ("BTC_USDT",),
        "streams": ("trades",),
        "store": Path("nowhere"),
        **changes,
    }
    return plan_capture(CaptureConfig(**config))


def test_each_market_of_each_stream_is_one_chain():
    made = plan(
        markets=("BTC_USDT", "ETH_USDT", "BTC_USDT"),
        streams=("trades", "klines:1m", "trades"),
    )

    assert made.chains == (
        Chain("BTC_USDT", "trades"),
        Chain("ETH_USDT", "trades"),
        Chain("BTC_USDT", "klines:1m"),
        Chain("ETH_USDT", "klines:1m"),
    )
    assert made.streams == ("trades", "klines:1m")


def test_streams_become_canonical():
    (stream,) = plan(streams=("depth",)).streams

    assert stream.startswith("depth:")


def test_addresses_are_the_sources_own_unless_given():
    own = plan()
    given = plan(ws_url="ws://127.0.0.1:1/", rest_url="http://127.0.0.1:1/api/")

    source = load(SOURCE)
    assert (own.ws_url, own.rest_url) == (source.ws_url, source.rest_url)
    assert (given.ws_url, given.rest_url) == (
        "ws://127.0.0.1:1/",
        "http://127.0.0.1:1/api/",
    )


def test_the_job_has_a_name():
    assert plan().job.startswith(f"{SOURCE}-")
    assert plan(job="nightly").job == "nightly"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "nobody"}, "no source 'nobody'; choose from "),
        ({"streams": ("quotes",)}, "has no stream 'quotes'; it has "),
        ({"streams": ("klines:7m",)}, "has no parameter '7m'; legal are "),
        ({"options": {"settle": "x"}}, "has no option 'settle'"),
        (
            {"ws_url": "http://x"},
            "--ws-url wants an address that starts with ws:// or wss://",
        ),
        ({"ws_url": "wss://\udcff"}, "--ws-url wants an address"),
        (
            {"rest_url": "ws://x"},
            "--rest-url wants an address that starts with http:// or https://",
        ),
        ({"rest_url": "127.0.0.1"}, "--rest-url wants an address"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(changes, words):
    with pytest.raises(ConfigError) as caught:
        plan(**changes)

    assert words in str(caught.value)
