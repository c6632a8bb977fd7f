import asyncio
import json  # noqa: TID251 - the oracle must not share the simulator's decoder
from decimal import Decimal

import pytest

from recorder.errors import ConfigError
from recorder.simulator.firehose import (
    Firehose,
    FirehoseSettings,
    _framed,
    serve_firehose,
)


QUICK = {"settle_seconds": 0.05, "markets": 3, "frames": 2_000}


async def test_every_frame_arrives_and_every_chain_is_whole(connect, get):
    async with Firehose(FirehoseSettings(**QUICK)) as firehose:
        client = await connect(firehose.ws_url_spot)
        await client.subscribe("spot.order_book_update", firehose.markets[0], "100ms")
        books = {}
        for market in firehose.markets:
            _, body = await get(
                firehose.rest_url, "/spot/order_book", currency_pair=market
            )
            books[market] = body
        client.texts.clear()
        async with asyncio.timeout(30):
            while len(client.texts) < 2_000:
                await client.next()
        assert [text.encode() for text in client.texts] == firehose.frames
        await asyncio.wait_for(firehose.finished.wait(), 15)

        sides = {
            market: [dict(map(tuple, book[key])) for key in ("bids", "asks")]
            for market, book in books.items()
        }
        ids = {market: book["id"] for market, book in books.items()}
        for update in client.updates("spot.order_book_update"):
            market = update["s"]
            assert update["U"] == ids[market] + 1
            ids[market] = update["u"]
            for side, key in zip(sides[market], "ba", strict=True):
                for price, amount in update[key]:
                    side.pop(price, None)
                    if amount != "0":
                        side[price] = amount
                assert len(side) <= 100
            bids, asks = sides[market]
            assert max(map(Decimal, bids)) < min(map(Decimal, asks))
        assert (
            min(len(u["b"] + u["a"]) for u in client.updates("spot.order_book_update"))
            >= 2
        )


async def test_a_share_of_the_frames_can_be_trades(connect):
    settings = FirehoseSettings(**QUICK, trade_share=0.25)
    async with Firehose(settings) as firehose:
        frames = [json.loads(frame) for frame in firehose.frames]
        trades = [f["result"] for f in frames if f["channel"] == "spot.trades"]

        assert 400 < len(trades) < 600
        first = [t for t in trades if t["currency_pair"] == firehose.markets[0]]
        numbers = [t["id_market"] for t in first]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        ids = [t["id"] for t in first]
        assert ids == sorted(set(ids))


async def test_the_pace_can_be_set(connect):
    settings = FirehoseSettings(**QUICK, frames_per_second=4_000)
    async with Firehose(settings) as firehose:
        client = await connect(firehose.ws_url_spot)
        await client.subscribe("spot.trades", "ANY")
        loop = asyncio.get_running_loop()
        await client.next()
        start = loop.time()
        await asyncio.wait_for(firehose.finished.wait(), 5)

        # Chunks of 256 frames: the last of 2,000 leaves after 1,792.
        assert 0.35 < loop.time() - start < 4


async def test_requests_are_answered_while_it_pours(connect, get):
    async with Firehose(FirehoseSettings(**QUICK)) as firehose:
        client = await connect(firehose.ws_url_spot)
        await client.send(channel="spot.ping", id=4)
        pong = await client.next()
        await client.socket.send_str("hello")
        await client.socket.send_bytes(b"hello")
        status, body = await get(firehose.rest_url, "/spot/order_book")
        _, markets = await get(firehose.rest_url, "/spot/currency_pairs")

        assert f":{firehose.port}/" in firehose.ws_url_spot
        assert pong is not None
        assert (pong["channel"], pong["id"]) == ("spot.pong", 4)
        assert (status, body["label"]) == (400, "INVALID_CURRENCY_PAIR")
        assert [m["id"] for m in markets] == list(firehose.markets)


async def test_a_client_that_leaves_in_the_middle_stops_the_flow(connect):
    settings = FirehoseSettings(settle_seconds=0.05, markets=3, frames=20_000)
    async with Firehose(settings) as firehose:
        client = await connect(firehose.ws_url_spot)
        await client.subscribe("spot.trades", "ANY")
        await client.next()
        client.socket._response.close()
        await asyncio.sleep(0.2)

        assert not firehose.finished.is_set()


async def test_a_slow_reader_is_waited_for(connect, monkeypatch):
    monkeypatch.setattr("recorder.simulator.firehose._BUFFER_BYTES", 2**16)
    settings = FirehoseSettings(settle_seconds=0.05, markets=3, frames=20_000)
    async with Firehose(settings) as firehose:
        client = await connect(firehose.ws_url_spot)
        await client.subscribe("spot.trades", "ANY")
        client.socket._conn.transport.pause_reading()
        await asyncio.sleep(0.4)
        assert not firehose.finished.is_set()
        client.socket._conn.transport.resume_reading()
        for _ in range(20_000):
            await client.socket.receive(timeout=3)
        await asyncio.wait_for(firehose.finished.wait(), 15)


def test_equal_seeds_render_equal_levels():
    def levels(seed: int) -> list[object]:
        frames = Firehose(FirehoseSettings(frames=50, seed=seed)).frames
        return [json.loads(frame)["result"]["b"] for frame in frames]

    assert levels(1) == levels(1)
    assert levels(1) != levels(2)


@pytest.mark.parametrize("size", [100, 500, 70_000])
def test_headers_are_those_of_the_protocol(size: int):
    framed = _framed(b"x" * size)
    assert framed[0] == 0x81
    if size < 126:
        assert framed[1] == size
    else:
        width = 2 if size < 2**16 else 8
        assert framed[1] == (126 if width == 2 else 127)
        assert int.from_bytes(framed[2 : 2 + width], "big") == size
    assert framed.endswith(b"x" * size)


@pytest.mark.parametrize("given", [{"markets": 0}, {"frames": 0}, {"trade_share": 2.0}])
def test_what_cannot_work_is_refused(given: dict[str, float]):
    with pytest.raises(ConfigError, match="firehose"):
        FirehoseSettings(**given)


async def test_as_a_program_it_serves_until_cancelled(connect):
    ready: asyncio.Queue[Firehose] = asyncio.Queue()
    task = asyncio.create_task(
        serve_firehose(FirehoseSettings(frames=10), ready.put_nowait)
    )
    firehose = await ready.get()
    client = await connect(firehose.ws_url_spot)
    await client.subscribe("spot.trades", "ANY")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await serve_firehose(FirehoseSettings(frames=10))
