import asyncio
from pathlib import Path

import aiohttp
import pytest

from recorder.errors import ConfigError
from recorder.simulator.faults import KINDS, Fault, parse
from recorder.simulator.server import Exchange, run_forever
from recorder.simulator.settings import Settings
from recorder.simulator.truth_files import load_truth


async def test_addresses_name_the_port_it_serves(connect, get):
    async with Exchange(Settings(rate=0.0)) as exchange:
        assert exchange.ws_url_spot == f"ws://127.0.0.1:{exchange.port}/ws/v4/"
        assert exchange.ws_url_v3 == f"ws://127.0.0.1:{exchange.port}/v3/"
        assert exchange.rest_url == f"http://127.0.0.1:{exchange.port}/api/v4"
        assert exchange.ws_urls == {
            "gate_spot": exchange.ws_url_spot,
            "gate_v3": exchange.ws_url_v3,
        }
        assert exchange.status_urls == {
            "cryptolisting": f"ws://127.0.0.1:{exchange.port}/",
            "okx_status": f"ws://127.0.0.1:{exchange.port}/ws/v5/public",
            "gate_announcements": f"ws://127.0.0.1:{exchange.port}/ws/v4/ann",
        }
        assert exchange.port > 0


async def test_contracts_have_the_address_of_what_they_are_settled_in():
    async with Exchange(Settings(rate=0.0, contracts=("A_USD", "B_USDT"))) as exchange:
        here = f"ws://127.0.0.1:{exchange.port}/v4/ws"
        assert exchange.ws_url_futures("btc") == f"{here}/btc"
        assert exchange.ws_urls["gate_futures"] == f"{here}/usdt"


async def test_a_port_that_is_taken_is_an_error():
    async with Exchange() as exchange:
        with pytest.raises(ConfigError, match=f"127.0.0.1:{exchange.port}"):
            async with Exchange(Settings(port=exchange.port)):
                pass


async def test_equal_seeds_serve_equal_markets():
    starts = []
    for _ in range(2):
        async with Exchange(Settings(seed=9)) as exchange:
            exchange.pause()
            truth = exchange.truth.markets["GT_USDT"]
            starts.append((truth.first_id, truth.book_at(truth.first_id)))

    assert starts[0] == starts[1]


@pytest.mark.parametrize("feed", ["v4", "v3"])
async def test_a_handshake_can_fail(connect, feed: str):
    name = "handshake_502" if feed == "v4" else "v3_handshake_502"
    async with Exchange(Settings(rate=0.0, faults=(parse(name),))) as exchange:
        url = exchange.ws_url_spot if feed == "v4" else exchange.ws_url_v3
        with pytest.raises(aiohttp.WSServerHandshakeError) as failure:
            await connect(url)
        await connect(url)

        assert failure.value.status == 502
        assert [(f.name, f.feed, f.conn) for f in exchange.truth.faults] == [
            (name, feed, None)
        ]
        assert exchange.counters[feed] == 1


async def test_a_paused_market_stands_still(connect):
    async with Exchange(Settings(rate=300.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.until(lambda f: f["event"] == "update")
        exchange.pause()
        last = exchange.truth.markets["BTC_USDT"].last_id
        await asyncio.sleep(0.1)

        assert exchange.truth.markets["BTC_USDT"].last_id == last


@pytest.mark.parametrize("feed", ["v4", "v3", None])
async def test_connections_can_be_dropped_by_feed(connect, feed: str | None):
    async with Exchange(Settings(rate=0.0)) as exchange:
        clients = {
            "v4": await connect(exchange.ws_url_spot),
            "v3": await connect(exchange.ws_url_v3),
        }
        # An answer shows that the connection is known to the exchange.
        await clients["v4"].subscribe("spot.trades", "BTC_USDT")
        await clients["v3"].ask("server.ping")
        exchange.drop_connections(feed)
        for name, client in clients.items():
            if feed in {None, name}:
                assert await client.ended() == 1006
            else:
                await client.listen(0.1)
                assert not client.socket.closed


async def test_a_fault_can_be_ordered_while_it_runs(connect):
    async with Exchange(Settings(rate=0.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        exchange.order(Fault(name="abort"))

        assert await client.ended() == 1006


async def test_protocol_pings_are_answered(connect):
    async with Exchange(Settings(rate=0.0)) as exchange:
        client = await connect(exchange.ws_url_spot)
        socket = client.socket
        socket._autoping = False
        await socket.ping(b"hello")
        message = await socket.receive(timeout=2)

        assert (message.type, bytes(message.data)) == (aiohttp.WSMsgType.PONG, b"hello")


async def test_the_truth_is_written_while_it_runs(tmp_path: Path, connect):
    settings = Settings(
        rate=500.0,
        truth_dir=tmp_path / "truth",
        faults=(parse("drop:stream=trades"),),
        markets=("BTC_USDT",),
    )
    async with Exchange(settings) as exchange:
        client = await connect(exchange.ws_url_spot)
        await client.subscribe("spot.trades", "BTC_USDT")
        await client.listen(1.3)
        early = load_truth(tmp_path / "truth")
        truth = exchange.truth

    late = load_truth(tmp_path / "truth")
    assert 0 < len(early.trades) < len(late.trades)
    assert late.trades == truth.trades
    assert late.faults == truth.faults
    assert late.notices == truth.notices
    assert late.notices
    own = truth.markets["BTC_USDT"]
    assert late.markets["BTC_USDT"].last_id == own.last_id
    assert late.book_at("BTC_USDT", own.last_id) == own.book_at(own.last_id)


async def test_as_a_program_it_keeps_the_truth_on_disk_alone(connect, tmp_path: Path):
    ready: asyncio.Queue[Exchange] = asyncio.Queue()
    settings = Settings(rate=100.0, truth_dir=tmp_path)
    task = asyncio.create_task(run_forever(settings, ready.put_nowait))
    exchange = await ready.get()
    client = await connect(exchange.ws_url_spot)
    await client.subscribe("spot.trades", "BTC_USDT")
    await client.until(lambda f: f["event"] == "update")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (exchange.truth.trades, exchange.truth.markets) == ([], {})
    assert await client.ended() == 1006
    pushed = {t["id"] for t in client.updates("spot.trades")}
    assert pushed <= {t.trade_id for t in load_truth(tmp_path).trades_of("BTC_USDT")}


async def test_as_a_program_it_need_not_tell_that_it_is_ready():
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await run_forever(Settings(rate=0.0))


async def test_every_fault_at_once_leaves_the_exchange_standing(connect, http):
    settings = Settings(
        rate=200.0,
        faults=(parse("random:probability=4"),),
        v3_depth_seconds=0.03,
        v3_clean_seconds=(0.1, 0.2),
    )
    async with Exchange(settings) as exchange:
        loop = asyncio.get_running_loop()
        end = loop.time() + 2.0
        while loop.time() < end:
            try:
                spot = await connect(exchange.ws_url_spot)
                old = await connect(exchange.ws_url_v3)
                for market in settings.markets:
                    await spot.send(
                        channel="spot.order_book_update",
                        event="subscribe",
                        payload=[market, "20ms"],
                    )
                await old.send(
                    id=1, method="depth.subscribe", params=["BTC_USDT", 30, "0"]
                )
                async with http.get(
                    f"{exchange.rest_url}/spot/order_book",
                    params={"currency_pair": "BTC_USDT"},
                ) as answer:
                    await answer.read()
                await asyncio.gather(spot.listen(0.4), old.listen(0.4))
            except (aiohttp.ClientError, ConnectionError):
                continue

        names = {fault.name for fault in exchange.truth.faults}
        assert names <= {name for name, kind in KINDS.items() if kind.random}
        assert len(names) >= 6
        assert exchange.counters["steps"] > 50
        assert exchange.counters["faults"] == len(exchange.truth.faults)
