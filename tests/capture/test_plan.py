"""What a run is to do is checked before anything is opened."""

from pathlib import Path

import msgspec
import pytest

from recorder.capture.plan import plan_capture
from recorder.config import CaptureConfig
from recorder.errors import ConfigError
from recorder.model import NO_MARKET, Chain
from recorder.source import Option, Secret, StreamKind
from recorder.sources import load


SOURCE = "gate_spot"


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


# Keys, and streams without markets -----------------------------------------


STATUS = StreamKind(name="status", doc="Status.", has_markets=False)
ORDERS = StreamKind(name="orders", doc="Own orders.", needs=("key",))
KEY = Secret(name="key", env="A_KEY", doc="Key of our account.")


def planned(monkeypatch, streams, markets, environ=None, **facts):
    base = load(SOURCE)
    source = msgspec.structs.replace(
        base, streams=(*base.streams, STATUS, ORDERS), secrets=(KEY,), **facts
    )
    monkeypatch.setattr("recorder.capture.plan.load", lambda name: source)
    config = CaptureConfig(
        source=SOURCE, markets=markets, streams=streams, store=Path("data")
    )
    return plan_capture(config, environ or {})


def test_a_stream_without_markets_is_one_chain(monkeypatch):
    made = planned(monkeypatch, ("status",), ())

    assert made.chains == (Chain(NO_MARKET, "status"),)


def test_markets_of_other_streams_are_not_those_of_a_stream_without(monkeypatch):
    made = planned(monkeypatch, ("trades", "status"), ("BTC_USDT",))

    assert made.chains == (Chain("BTC_USDT", "trades"), Chain(NO_MARKET, "status"))


@pytest.mark.parametrize(
    ("streams", "markets", "words"),
    [
        (("trades",), (), "name at least one market with -m"),
        (("trades", "status"), (), "name at least one market with -m"),
        (("status",), ("BTC_USDT",), "leave -m out"),
        (("orders",), ("BTC_USDT",), "set the environment variable A_KEY"),
    ],
)
def test_what_cannot_be_planned_says_what_to_do(monkeypatch, streams, markets, words):
    with pytest.raises(ConfigError, match=words):
        planned(monkeypatch, streams, markets)


def test_a_key_is_read_and_never_shown(monkeypatch):
    made = planned(monkeypatch, ("orders",), ("BTC_USDT",), {"A_KEY": " s3cret-key "})

    assert made.secrets["key"] == "s3cret-key"
    assert "s3cret-key" not in repr(made)


@pytest.mark.parametrize(
    "value", ["s3cret", "two words", "a\nnewline", "schl\u00fcssel"]
)
def test_what_cannot_be_a_key_is_refused_and_not_shown(monkeypatch, value):
    with pytest.raises(ConfigError, match="A_KEY holds no key") as caught:
        planned(monkeypatch, ("orders",), ("BTC_USDT",), {"A_KEY": value})

    assert value not in str(caught.value)


def test_addresses_are_made_of_options(monkeypatch):
    made = planned(
        monkeypatch,
        ("trades",),
        ("BTC_USDT",),
        options=(Option(name="settle", doc="Settlement.", default="usdt"),),
        ws_url="wss://venue/ws/{settle}",
        rest_url="https://venue/{settle}",
        ws_query=lambda options: (("only", f"{options['settle']},&"),),
    )

    assert made.ws_url == "wss://venue/ws/usdt?only=usdt,%26"
    assert made.rest_url == "https://venue/usdt"
