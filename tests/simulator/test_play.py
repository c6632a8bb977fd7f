"""The player with all real recordings and with small made-up ones."""

import asyncio
import json  # noqa: TID251 - the oracle must not share the simulator's decoder
from pathlib import Path
from typing import Any

import pytest

from recorder.errors import ConfigError
from recorder.simulator.play import Player, PlaySettings, load_recording, play_forever


QUICK = PlaySettings(settle_seconds=0.05)
V3_LINES = [
    {"at": 1.0, "kind": "connect", "url": "wss://x/v3/"},
    {"at": 1.5, "kind": "send", "data": '{"method":"trades.subscribe","id":1}'},
    {"at": 2.0, "kind": "recv", "data": '{"error": null, "result": {}, "id": 1}'},
    {
        "at": 2.0,
        "kind": "recv",
        "data": '{"method": "a.update", "params": [], "id": null}',
    },
    {
        "at": 2.4,
        "kind": "recv",
        "data": '{"method": "b.update", "params": [], "id": null}',
    },
]


def recording(folder: Path, lines: list[dict[str, Any]]) -> Path:
    file = folder / "made.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def expected_frames(file: Path) -> list[str]:
    """Return the recorded data frames: pushes, not answers."""
    frames = []
    for line in file.read_text().splitlines():
        row = json.loads(line)
        if row["kind"] != "recv":
            continue
        frame = json.loads(row["data"])
        if frame.get("event") == "subscribe" or (
            "result" in frame and "error" in frame
        ):
            continue
        frames.append(row["data"])
    return frames


@pytest.mark.parametrize(
    ("name", "path", "frames"),
    [
        ("gate-v3-2021-04-05", "/v3/", 351),
        ("gate-spot-2021-04-22", "/ws/v4/", 217),
        ("gate-futures-2023-05-24", "/v4/ws/usdt", 428),
    ],
)
async def test_a_real_recording_is_played_frame_by_frame(
    connect, get, recordings: Path, name: str, path: str, frames: int
):
    file = recordings / f"{name}.jsonl"
    expected = expected_frames(file)
    assert len(expected) == frames
    async with Player(file, QUICK) as player:
        assert player.ws_url == f"ws://127.0.0.1:{player.port}{path}"
        client = await connect(player.ws_url)
        if path == "/v3/":
            answer = await client.ask("trades.subscribe", "ANY_THING", number=41)
            assert answer["result"] == {"status": "success"}
        else:
            answer = await client.subscribe("spot.trades", "ANY_THING")
            assert answer["result"] == {"status": "success"}
            assert answer["id"] == 7
        client.texts.clear()
        async with asyncio.timeout(30):
            while len(client.texts) < frames:
                await client.next()
        assert client.texts == expected
        assert player.finished.is_set()
        assert player.frames_sent == frames
        # The socket stays open and is still answered.
        await client.listen(0.1)
        assert not client.socket.closed


@pytest.mark.parametrize(
    ("name", "path", "key"),
    [
        ("gate-spot-2021-04-22", "/spot/order_book", "currency_pair"),
        ("gate-futures-2023-05-24", "/futures/usdt/order_book", "contract"),
    ],
)
async def test_recorded_rest_bodies_are_served_before_anything_is_played(
    get, recordings: Path, name: str, path: str, key: str
):
    file = recordings / f"{name}.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    books = [r for r in rows if r["kind"] == "http" and f"{path}?" in r["url"]]
    assert len(books) == 10
    async with Player(file, QUICK) as player:
        for row in books:
            market = row["url"].split(f"{key}=")[1].split("&")[0]
            for _ in range(2):
                status, body = await get(player.rest_url, path, **{key: market})
                assert (status, body) == (200, json.loads(row["data"]))
        assert (await get(player.rest_url, path, **{key: "X_Y"}))[0] == 404


async def test_bodies_of_one_call_are_served_in_order_and_the_last_one_stays(
    get, tmp_path: Path
):
    url = "https://x/api/v4/spot/order_book?currency_pair=A_B&limit=5"
    lines = [*V3_LINES] + [
        {"at": 3.0 + k, "kind": "http", "url": url, "data": f'{{"id":{k}}}'}
        for k in range(2)
    ]
    async with Player(recording(tmp_path, lines), QUICK) as player:
        bodies = [
            await get(player.rest_url, "/spot/order_book", currency_pair="A_B")
            for _ in range(3)
        ]

        assert bodies == [(200, {"id": 0}), (200, {"id": 1}), (200, {"id": 1})]


async def test_original_timing_is_kept(connect, tmp_path: Path):
    settings = PlaySettings(speed=1.0, settle_seconds=0.05)
    async with Player(recording(tmp_path, V3_LINES), settings) as player:
        client = await connect(player.ws_url)
        await client.ask("trades.subscribe")
        loop = asyncio.get_running_loop()
        first, start = await client.next(), loop.time()
        second, end = await client.next(), loop.time()

        assert first is not None
        assert second is not None
        assert (first["method"], second["method"]) == ("a.update", "b.update")
        assert 0.35 < end - start < 3


async def test_frames_wait_for_the_last_of_several_subscriptions(
    connect, tmp_path: Path
):
    settings = PlaySettings(settle_seconds=0.5)
    async with Player(recording(tmp_path, V3_LINES), settings) as player:
        client = await connect(player.ws_url)
        for number in range(3):
            await client.ask("trades.subscribe", number=number)
            await asyncio.sleep(0.2)
        assert (await client.ask("server.ping", number=9))["result"] == "pong"
        assert isinstance((await client.ask("server.time", number=10))["result"], int)
        await client.socket.send_str("hello")
        await client.socket.send_bytes(b"hello")
        await client.pushed(1, "b.update")

        assert [f["id"] for f in client.frames] == [0, 1, 2, 9, 10, None, None]


async def test_the_socket_can_be_closed_after_the_last_frame(connect, tmp_path: Path):
    settings = PlaySettings(settle_seconds=0.02, close_after_seconds=0.1)
    async with Player(recording(tmp_path, V3_LINES), settings) as player:
        client = await connect(player.ws_url)
        await client.ask("trades.subscribe")

        assert await client.ended() == 1000
        assert client.pushes("b.update") == [[]]


async def test_a_client_that_leaves_early_does_no_harm(connect, tmp_path: Path):
    lines = V3_LINES + [V3_LINES[-1] | {"at": 2.4 + k / 100} for k in range(1, 100)]
    settings = PlaySettings(speed=1.0, settle_seconds=0.02)
    async with Player(recording(tmp_path, lines), settings) as player:
        early = await connect(player.ws_url)
        await early.ask("trades.subscribe")
        await early.next()
        early.socket._response.close()
        client = await connect(player.ws_url)
        await client.ask("trades.subscribe")
        assert await client.next()

        assert not player.finished.is_set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json\n", "is not a recording"),
        ('{"at": 1, "kind": "connect", "url": "wss://x/v3/"}\n', "WebSocket session"),
        ('{"at": 1, "kind": "recv", "data": "{\\"method\\":\\"x\\"}"}\n', "session"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(
    tmp_path: Path, text: str, message: str
):
    file = tmp_path / "made.jsonl"
    file.write_text(text)

    with pytest.raises(ConfigError, match=message):
        load_recording(file)


def test_a_missing_file_is_an_error(tmp_path: Path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_recording(tmp_path / "none.jsonl")


async def test_as_a_program_it_plays_until_cancelled(connect, tmp_path: Path):
    ready: asyncio.Queue[Player] = asyncio.Queue()
    file = recording(tmp_path, V3_LINES)
    task = asyncio.create_task(play_forever(file, QUICK, ready.put_nowait))
    player = await ready.get()
    client = await connect(player.ws_url)
    await client.ask("trades.subscribe")
    await asyncio.wait_for(player.finished.wait(), 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await client.ended() == 1001
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await play_forever(file)
