"""`recorder capture cryptolisting` as it is typed, with a key that nobody may see."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from recorder.simulator.cryptolisting.door import REFUSALS
from recorder.simulator.cryptolisting.server import ListingServer
from recorder.simulator.cryptolisting.settings import ApiKey, settings_of
from recorder.simulator.faults import parse
from recorder.store.listing import open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.store.tables import TABLES


KEY = "dsk_" + "c0ffee0123456789" * 4
VARIABLE = "CRYPTOLISTING_API_KEY"
PROGRAM = [sys.executable, "-c", "from recorder.cli import main; main()"]


class Run:
    """A recorder in a process of its own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.said = b""
        self.code: int | None = None

    async def start(self, url: str, *more: str, key: str | None = KEY) -> None:
        words = ["capture", "cryptolisting", "-s", "status", "--store", "store"]
        environ = {k: v for k, v in os.environ.items() if k != VARIABLE}
        if key is not None:
            environ[VARIABLE] = key
        self.process = await asyncio.create_subprocess_exec(
            *PROGRAM,
            *words,
            "--ws-url",
            url,
            *more,
            cwd=self.folder,
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while piece := await self.process.stdout.read(65_536):
            self.said += piece

    async def until_said(self, words: bytes) -> None:
        async with asyncio.timeout(30):
            while words not in self.said:
                assert not self.reading.done(), self.said
                await asyncio.sleep(0.01)

    async def end(self) -> int:
        """Wait for the end; return the exit code."""
        async with asyncio.timeout(30):
            await self.reading
            return await self.process.wait()

    def words_of_process(self) -> bytes:
        """What a list of processes shows of it."""
        return Path(f"/proc/{self.process.pid}/cmdline").read_bytes()

    def table(self, name: str) -> list[dict[str, Any]]:
        return plain_rows(open_listing(self.store).read(name))

    def gaps(self) -> list[tuple[str, str | None]]:
        newest = newest_revisions(self.table("gaps"))
        newest.sort(key=lambda gap: gap.started_at)
        return [(gap.reason, gap.detail) for gap in newest]


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    run = Run(tmp_path)
    yield run
    process = getattr(run, "process", None)
    if process is not None and process.returncode is None:
        process.kill()
        await process.wait()
        await run.reading


@asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[ListingServer]:
    usual = {
        "cooldown_seconds": 0.0,
        "connects_per_minute": 1_000,
        "heartbeat_seconds": 0.2,
        "keys": (ApiKey(key=KEY),),
    }
    async with ListingServer(settings_of("C", **{**usual, **changes})) as server:
        yield server


async def until_welcomed(server: ListingServer, times: int) -> None:
    async with asyncio.timeout(30):
        while len(server.truth.pushed("welcome")) < times:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)


def everything_written(run: Run) -> bytes:
    """What was printed, each file as it is, and each table as it reads."""
    files = [path for path in run.folder.rglob("*") if path.is_file()]
    assert [path for path in files if path.suffix == ".parquet"]
    parts = [run.said, *(path.read_bytes() for path in files)]
    parts += [str(path).encode() for path in files]
    listing = open_listing(run.store)
    for name in TABLES:
        # Parquet is compressed: text and bytes in it are looked at as such.
        parts += [repr(row).encode() for row in plain_rows(listing.read(name))]
    return b"\n".join(parts)


@pytest.mark.parametrize("more", [("--archive",), ("--json-logs",)])
async def test_a_key_is_nowhere_even_if_the_service_repeats_it_everywhere(
    run: Run, more: tuple[str, ...]
) -> None:
    async with serving(
        is_echoing_keys=True,
        faults=(
            parse("cryptolisting_connection_cooldown:at=0,count=0"),
            parse("cryptolisting_text:probability=0.3"),
        ),
    ) as server:
        service = server.service
        service.refusing.append(REFUSALS["max_connections_reached"])
        await run.start(server.ws_url, *more)
        await until_welcomed(server, 1)
        cmdline = run.words_of_process()
        service.announce(f"Title with {KEY}", ["ABC", KEY])
        for text in (
            f'{{"type":"surprise","of":"{KEY}"}}',
            f'{{"type":"error","code":"bad {KEY}"}}',
            f'{{"type":"announcement","title":"{KEY}',
            f'{{"type":"announcement","detectedTimestampUs":"{KEY}"}}',
            f'{{"type":"{KEY}"}}',
            f'{{"type":"renewal_notice","{KEY}":1}}',
            KEY,
        ):
            service.say("any", text.encode(), is_text=text == KEY)
        service.close_all("internal_error")
        await until_welcomed(server, 2)
        service.revoke(KEY)
        codes = [await run.end()]
        frames = [frame.payload for frame in server.truth.pushed()]
        ends = [reason for _, reason in server.truth.ends]

        await run.start(server.ws_url, *more)  # the key is no good any more
        codes.append(await run.end())

    assert sum(KEY in frame for frame in frames) >= 9
    assert f"internal_error: {KEY}" in ends
    assert f"key_invalidated: {KEY}" in ends
    assert [status for status, _ in server.truth.refusals] == [429, 403]
    assert codes == [1, 2]
    written = everything_written(run)
    assert KEY.encode() not in written
    assert KEY[4:20].encode() not in written  # nor a part of it
    assert KEY.encode() not in cmdline
    assert b"capture" in cmdline
    assert b"key_invalidated: ***" in written
    titles = [row["title"] for row in run.table("status") if row["publisher"]]
    assert titles == ["Title with ***"]


async def test_without_a_key_nothing_is_opened(run: Run) -> None:
    await run.start("ws://127.0.0.1:9/", key=None)

    assert await run.end() == 2
    assert b"set the environment variable CRYPTOLISTING_API_KEY" in run.said
    assert not run.store.exists()


async def test_what_is_no_key_is_said_and_not_shown(run: Run) -> None:
    key = "dsk_\r\nX-Other: 1"
    await run.start("ws://127.0.0.1:9/", key=key)

    assert await run.end() == 2
    assert b"CRYPTOLISTING_API_KEY holds no key" in run.said
    assert b"X-Other" not in run.said
    assert b"Traceback" not in run.said


async def test_a_wrong_key_is_said_at_once_and_ends_in_2(run: Run) -> None:
    wrong = "dsk_" + "0bad" * 16
    async with serving() as server:
        await run.start(server.ws_url, "--duration", "1h", key=wrong)
        code = await run.end()

    assert code == 2
    assert b"HTTP 403: invalid_api_key" in run.said
    assert b"set CRYPTOLISTING_API_KEY to a good one" in run.said
    assert wrong.encode() not in run.said
    assert server.truth.refusals == [(403, "invalid_api_key")]
    assert [reason for reason, _ in run.gaps()] == [
        "not_started",
        "subscription_rejected",
        "process_stopped",
    ]


async def test_a_key_that_expires_ends_in_1_and_what_came_before_is_there(
    run: Run,
) -> None:
    async with serving() as server:
        await run.start(server.ws_url, "--duration", "1h")
        await until_welcomed(server, 1)
        server.service.announce("Before", ["ABC"])
        server.service.expire(KEY)
        code = await run.end()

    assert code == 1
    assert b"the key has expired (key_expired)" in run.said
    assert [row["title"] for row in run.table("status")] == [None, "Before"]
    assert [reason for reason, _ in run.gaps()] == [
        "not_started",
        "connect_lost",
        "subscription_rejected",
        "process_stopped",
    ]


async def test_a_run_that_waits_as_told_can_be_stopped(run: Run) -> None:
    async with serving() as server:
        await run.start(server.ws_url)
        await until_welcomed(server, 1)
        server.service.close_all("rate_limit_exceeded")
        await run.until_said(b"retry_in_seconds=60")
        run.process.send_signal(signal.SIGTERM)
        code = await run.end()

    assert code == 0
    assert run.gaps()[1] == ("connect_lost", "rate_limit_exceeded")


async def test_a_service_that_does_not_let_us_in_in_time_ends_in_1(run: Run) -> None:
    faults = (parse("cryptolisting_connection_cooldown:every=0.001"),)
    async with serving(faults=faults) as server:
        await run.start(server.ws_url, "--duration", "2s")
        code = await run.end()

    assert code == 1
    assert b"the venue was never reached: " in run.said
    assert b"HTTP 429: connection_cooldown" in run.said
    # It asks for 5 s, and allows a connection every 6 s in the long run.
    (seconds,) = set(re.findall(rb"retry_in_seconds=(\d+)", run.said))
    assert seconds in (b"5", b"6")
    assert len(server.truth.refusals) == 1
