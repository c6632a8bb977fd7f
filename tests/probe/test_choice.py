"""What is probed where nothing was named."""

import msgspec
import pytest
from aiohttp import web

from recorder.errors import ConfigError, TransportError
from recorder.probe import choice
from recorder.probe.choice import choose
from recorder.source import Secret
from recorder.sources import load


def pair(name, status="tradable"):
    base, _, quote = name.partition("_")
    return {
        "id": name,
        "base": base,
        "quote": quote,
        "fee": "0.2",
        "amount_precision": 4,
        "precision": 2,
        "trade_status": status,
        "sell_start": 0,
        "buy_start": 0,
    }


@pytest.fixture
def listing(serve):
    """Serve a list of markets; returns its REST address."""

    async def listing(*pairs):
        async def answer(_request):
            body = msgspec.json.encode([pair(*each) for each in pairs])
            return web.Response(body=body, content_type="application/json")

        host = await serve({"/spot/currency_pairs": answer})
        return f"http://{host}"

    return listing


@pytest.mark.parametrize(
    ("pairs", "market"),
    [
        ([("ETH_USDT",), ("BTC_USDT",)], "BTC_USDT"),
        ([("ETH_USDT",), ("BTC_USDT", "untradable"), ("BTC_USDC",)], "BTC_USDC"),
        ([("OLD_USDT", "untradable"), ("ETH_USDT",), ("GT_USDT",)], "ETH_USDT"),
    ],
)
async def test_the_liveliest_market_that_is_traded_is_taken(listing, pairs, market):
    plan, notes = await choose("gate_spot", rest_url=await listing(*pairs))

    traded = sum(len(each) == 1 for each in pairs)
    assert {chain.market for chain in plan.chains} == {market}
    assert notes == (
        f"-m was not given: {market} is taken, of {traded} that are traded",
    )


async def test_without_a_list_the_usual_market_is_taken(listing, serve):
    nothing = await listing(("OLD_USDT", "untradable"))
    host = await serve({})

    none_traded = await choose("gate_spot", streams=("trades",), rest_url=nothing)
    no_list = await choose("gate_spot", streams=("trades",), rest_url=f"http://{host}")

    assert "none of the markets listed is traded" in none_traded.notes[0]
    assert "answered HTTP 404" in no_list.notes[0]
    for plan, _ in (none_traded, no_list):
        assert [chain.market for chain in plan.chains] == ["BTC_USDT"]


async def test_a_pattern_stands_for_what_the_venue_lists(listing, unused_port):
    address = await listing(("OLD_USDT", "untradable"), ("ETH_USDT",), ("GT_BTC",))
    how = {"markets": ("*_USDT",), "streams": ("trades",)}

    plan, _ = await choose("gate_spot", rest_url=address, **how)
    with pytest.raises(TransportError, match="cannot look up markets of gate_spot"):
        await choose("gate_spot", rest_url=f"http://127.0.0.1:{unused_port}", **how)

    assert [chain.market for chain in plan.chains] == ["ETH_USDT"]


async def test_each_kind_of_stream_is_taken_with_its_default():
    plan, notes = await choose("gate_spot", markets=("A_B",))

    feed = load("gate_spot")
    assert [stream.partition(":")[0] for stream in plan.streams] == [
        kind.name for kind in feed.streams
    ]
    for stream, kind in zip(plan.streams, feed.streams, strict=True):
        _, _, parameter = stream.partition(":")
        assert parameter == (kind.default or (*kind.parameters, "")[0])
    assert notes == ()


@pytest.fixture
def keyed(monkeypatch):
    """A feed whose last stream needs a key, and one stream has no markets."""
    feed = load("gate_spot")
    streams = tuple(
        msgspec.structs.replace(kind, needs=("key",)) if kind.name == "bbo" else kind
        for kind in feed.streams
        if not kind.parameters
    )
    status = msgspec.structs.replace(streams[0], name="status", has_markets=False)
    feed = msgspec.structs.replace(
        feed,
        streams=(*streams, status),
        secrets=(Secret(name="key", env="FAKE_KEY", doc="A key."),),
        market_list=None,
    )
    monkeypatch.setattr(choice, "load", lambda _name: feed)
    monkeypatch.setattr("recorder.capture.plan.load", lambda _name: feed)


async def test_what_needs_a_key_is_left_out_without_it(keyed):
    without = await choose("fake", environ={})
    with_it = await choose("fake", environ={"FAKE_KEY": "0123456789"})

    assert [chain.stream for chain in without.plan.chains] == [
        "trades",
        "tickers",
        "status",
    ]
    assert without.notes == (
        "bbo is left out: set FAKE_KEY to probe it",
        "-m was not given: BTC_USDT is taken, for the source does not list its markets",
    )
    assert "bbo" in [chain.stream for chain in with_it.plan.chains]
    assert with_it.plan.secrets["key"] == "0123456789"


async def test_a_stream_without_markets_needs_no_market(keyed):
    plan, notes = await choose("fake", streams=("status",), environ={})

    assert [tuple(chain) for chain in plan.chains] == [("", "status")]
    assert notes == ()


async def test_a_feed_of_keys_alone_says_which(keyed, monkeypatch):
    feed = choice.load("fake")
    only = tuple(kind for kind in feed.streams if kind.needs)
    feed = msgspec.structs.replace(feed, streams=only)
    monkeypatch.setattr(choice, "load", lambda _name: feed)

    with pytest.raises(ConfigError, match="set FAKE_KEY to probe it"):
        await choose("fake", environ={})


async def test_what_cannot_be_is_refused_before_anything_is_asked():
    with pytest.raises(ConfigError, match="--rest-url wants an address"):
        await choose("gate_spot", rest_url="here")
    with pytest.raises(ConfigError, match="has no stream 'news'"):
        await choose("gate_spot", streams=("news",))
    with pytest.raises(ConfigError, match="no source 'nowhere'"):
        await choose("nowhere")
