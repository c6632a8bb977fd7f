"""Chains are spread over as many connections as the venue's limits ask for."""

import asyncio

import msgspec
import pytest
from aiohttp import web

from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.capture.shared import Shared
from recorder.capture.spread import Connections, check_connections, spread
from recorder.config import CaptureConfig
from recorder.errors import ConfigError
from recorder.model import Chain
from recorder.sources import load


def chains_of(count, stream="trades"):
    return tuple(Chain(f"M{number}", stream) for number in range(count))


def by_stream(chains):
    """A plan as feeds have it: what cannot share a connection lies apart."""
    streams = dict.fromkeys(chain.stream for chain in chains)
    return [tuple(c for c in chains if c.stream == stream) for stream in streams]


@pytest.mark.parametrize(
    ("count", "most", "sizes"),
    [
        (2_500, 1_000, [833, 833, 834]),
        (1_000, 1_000, [1_000]),
        (1_001, 1_000, [500, 501]),
        (3, 1, [1, 1, 1]),
        (0, 5, []),
    ],
)
def test_what_is_too_much_for_one_connection_is_cut_evenly(fake, count, most, sizes):
    source = msgspec.structs.replace(fake, chains_per_connection=most)
    chains = chains_of(count)

    parts = spread(source, chains)

    assert [len(part) for part in parts] == sizes
    assert sum(parts, ()) == chains


def test_each_group_of_a_plan_is_cut_by_itself(fake):
    source = msgspec.structs.replace(fake, plan=by_stream, chains_per_connection=4)
    chains = chains_of(5) + chains_of(9, "bbo") + chains_of(2, "tickers")

    parts = spread(source, chains)

    assert [(part[0].stream, len(part)) for part in parts] == [
        ("trades", 2),
        ("trades", 3),
        ("bbo", 3),
        ("bbo", 3),
        ("bbo", 3),
        ("tickers", 2),
    ]
    assert all(len({chain.stream for chain in part}) == 1 for part in parts)
    assert sum(parts, ()) == chains


def test_more_connections_than_the_venue_allows_are_refused(fake):
    source = msgspec.structs.replace(fake, chains_per_connection=10, connections_max=3)

    check_connections(source, chains_of(30))
    with pytest.raises(
        ConfigError,
        match="31 streams of markets need 4 connections to fake, and its venue "
        "allows 3 from one address; choose fewer markets or streams",
    ):
        check_connections(source, chains_of(31))


def test_a_feed_that_needs_a_connection_for_each_market_is_held_to_the_limit():
    markets = tuple(f"M{number}_USDT" for number in range(301))
    config = CaptureConfig(
        source="gate_v3", markets=markets, streams=("klines:1m",), store="nowhere"
    )

    assert load("gate_v3").connections_max == 300
    with pytest.raises(ConfigError, match="need 301 connections"):
        plan_capture(config)


def test_what_a_venue_allows_is_counted_over_all_feeds_of_a_host(fake):
    source = msgspec.structs.replace(fake, chains_per_connection=10, connections_max=3)
    other = msgspec.structs.replace(source, name="other")
    free = msgspec.structs.replace(source, name="free", connections_max=None)
    connections = Connections()

    connections.add(source, "ws://u:p@one:9/a?key=x", chains_of(20))
    with connections.held(source, "ws://one:9/b", chains_of(10)):
        with pytest.raises(
            ConfigError,
            match="1 stream of markets needs 1 connection to fake, other feeds have 3, "
            "and its venue allows 3 from one address; choose fewer markets or streams",
        ):
            connections.add(source, "ws://one:9/c", chains_of(1))
        connections.add(source, "ws://two:9/a", chains_of(30))
        connections.add(other, "ws://one:9/a", chains_of(30))
        connections.add(free, "ws://one:9/a", chains_of(300))
        connections.add(free, "ws://one:9/a", chains_of(300))

    assert connections.add(source, "ws://one:9/c", chains_of(1)) == 1


@pytest.mark.parametrize(
    ("name", "count", "seconds"), [("okx_status", 3, 1), ("cryptolisting", 10, 60)]
)
def test_a_venue_is_connected_to_no_faster_than_it_states(name, count, seconds):
    """Opened evenly apart, no window of that length holds more than are allowed."""
    most = int(seconds * load(name).connects_per_second) + 1

    assert most <= count


async def test_connections_of_a_process_are_opened_evenly_apart(fake, serve, tmp_path):
    arrivals, begun = [], asyncio.get_running_loop().time()
    enough = asyncio.Event()

    async def handler(request):
        arrivals.append(asyncio.get_running_loop().time())
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(arrivals) == 6:
            enough.set()
        async for _ in socket:
            pass
        return socket

    address = await serve({"/ws": handler})
    source = msgspec.structs.replace(
        fake, chains_per_connection=1, connects_per_second=20.0
    )

    def capture(job, chains):
        config = CaptureConfig(
            source="fake",
            markets=tuple(chain.market for chain in chains),
            streams=("trades",),
            store=tmp_path / "store",
        )
        plan = msgspec.structs.replace(
            PLAN, config=config, source=source, chains=chains, job=job
        )
        plan = msgspec.structs.replace(plan, ws_url=f"ws://{address}/ws")
        return Capture(plan, stop=enough, shared=shared)

    shared = Shared()
    both = capture("a", chains_of(3)), capture("b", chains_of(3))
    async with asyncio.timeout(30):
        await asyncio.gather(*(one.run() for one in both))

    # Whoever comes as the n-th was let go no earlier than n intervals after the first.
    assert [at - begun >= n / 20 - 0.005 for n, at in enumerate(sorted(arrivals))] == [
        True
    ] * 6


PLAN = plan_capture(
    CaptureConfig(
        source="gate_spot", markets=("A",), streams=("trades",), store="nowhere"
    )
)
