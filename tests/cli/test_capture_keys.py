"""The real command with keys: what it says, and that no byte of it has a key."""

import asyncio
import json  # noqa: TID251 - the other end must not share the recorder's decoder
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from recorder import open_store
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings
from recorder.store.runfile import read_run_files


KEY = "k3y-of-the-account/0123456789+abcdef=="
SECRET = "s3cret-of-the-account-0123456789abcdef"
ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)
SUCCESS = {"status": "success"}
TRADE = {"id": 7, "time": 1.5, "price": "1", "amount": "2", "type": "buy"}


class Parrot:
    """A venue that says back whatever it was told, wherever it can.

    Args:
        is_friendly: Whether it accepts the keys.
    """

    def __init__(self, *, is_friendly: bool) -> None:
        self.heard: list[dict[str, Any]] = []
        self._is_friendly = is_friendly
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_get("/v3/", self._talk)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.ws_url = f"ws://127.0.0.1:{runner.addresses[0][1]}/v3/"
        self._ready.set()
        await self._over.wait()
        await runner.cleanup()

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            self.heard.append(asked)
            if asked["method"] == "server.sign":
                await self._on_sign(socket, asked)
                continue
            result: Any = SUCCESS
            if asked["method"] == "order.query":
                order = {"id": 1, "market": "A_B", "type": 1, "text": f"of {KEY}"}
                result = {"total": 1, "records": [order]}
            elif asked["method"] == "balance.query":
                result = {"A": {"available": "0.123456789012345678", "freeze": KEY}}
            await self._say(socket, error=None, result=result, id=asked["id"])
            if asked["method"] == "trades.subscribe":
                for number in (7, 8):
                    trades = [TRADE | {"id": number}]
                    params = ["A_B", trades]
                    await self._say(socket, method="trades.update", params=params)
            if asked["method"] == "balance.query" and len(self.heard) < 9:
                await socket.close(code=4000, message=f"no more of {KEY}".encode())
        return socket

    async def _on_sign(
        self, socket: web.WebSocketResponse, asked: dict[str, Any]
    ) -> None:
        told = json.dumps(asked["params"])
        await socket.send_str(f"not JSON: {told}")
        await socket.send_str(
            told.replace(KEY, "".join(f"\\u{ord(c):04x}" for c in KEY))
        )
        await self._say(socket, method="told", params=asked["params"], id=None)
        await self._say(socket, **{KEY: 1, "method": SECRET})
        error = {"code": 11, "message": f"Authentication fail: {told} of {SECRET}."}
        answer = {"error": None, "result": SUCCESS}
        if not self._is_friendly:
            answer = {"error": error, "result": None}
        await self._say(socket, **answer, id=asked["id"])

    async def _say(self, socket: web.WebSocketResponse, **frame: Any) -> None:
        await socket.send_str(json.dumps(frame))


class Simulated:
    """The simulated exchange, whose account has these keys.

    Args:
        keys: ``v3`` or ``v4``: at which address they are shown.
        secret: What goes with the key there.
    """

    def __init__(self, keys: str, secret: str) -> None:
        self.heard: list[dict[str, Any]] = []
        pair = {"v3": "v3_keys", "v4": "v3_apiv4_keys"}[keys]
        self._settings = Settings(
            **{pair: (KEY, secret)},
            markets=("A_B",),
            rate=0.0,
            account_seconds=0.02,
            log_frames=True,
        )
        self._is_v3 = keys == "v3"
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        assert self._ready.wait(20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with Exchange(self._settings) as exchange:
            receive = exchange._v3.receive

            def heard(conn: Any, text: str) -> None:
                self.heard.append(json.loads(text))
                receive(conn, text)

            exchange._v3.receive = heard  # type: ignore[method-assign]
            self.exchange = exchange
            url = exchange.ws_url_v3 if self._is_v3 else exchange.ws_url_v3_apiv4
            self.ws_url = url
            self._ready.set()
            await self._over.wait()

    def told(self, conn: int) -> int:
        """How many events of the account were pushed over a connection."""
        frames = [f for f in self.exchange.truth.frames if f.conn == conn]
        return len([f for f in frames if f.stream in ("orders", "balances")])


@pytest.fixture
def parrot(request: pytest.FixtureRequest) -> Iterator[Parrot]:
    venue = Parrot(is_friendly=request.param)
    yield venue
    venue.close()


@pytest.fixture
def simulated(request: pytest.FixtureRequest) -> Iterator[Simulated]:
    venue = Simulated(*request.param)
    yield venue
    venue.close()


Venue = Parrot | Simulated


def as_text(path: Path) -> str:
    """All that a file holds; what Parquet holds is compressed, so it is unpacked."""
    plain = path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.ParquetFile(path).read()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        plain += sink.getvalue().to_pybytes()
    return plain.decode("latin-1")


class Watched:
    """Runs the command with keys, and looks for them in all that it writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "GATE_API_KEY": KEY, "GATE_API_SECRET": SECRET}

    def start(self, venue: Venue, *words: str) -> "subprocess.Popen[str]":
        command = ["capture", "gate_v3", "--ws-url", venue.ws_url, "--archive", *words]
        program = [sys.executable, "-c", "from recorder.cli import main; main()"]
        with (
            (self.folder / "stdout").open("w") as out,
            (self.folder / "stderr").open("w") as err,
        ):
            return subprocess.Popen(
                [*program, *command, "--store", "store"],
                env=self.env,
                cwd=self.folder,
                stdout=out,
                stderr=err,
                text=True,
            )

    def run(
        self, venue: Venue, *words: str, until: Callable[[], bool] | None = None
    ) -> int:
        """Run until it ends by itself, or until something is so."""
        process = self.start(venue, *words)
        try:
            if until is not None:
                self.wait(until)
                process.terminate()
            code = process.wait(60)
        finally:
            process.kill()
            process.wait()
        self.search(venue)
        return code

    def wait(self, until: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not until():
            assert time.monotonic() < deadline, self.stderr
            time.sleep(0.02)

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def search(self, venue: Venue) -> set[str]:
        """Look for keys and signatures; return the kinds of files looked into."""
        signs = [a["params"][1] for a in venue.heard if a["method"] == "server.sign"]
        assert signs
        secrets = [KEY, SECRET, *signs, ESCAPED, ESCAPED.replace("\\", "\\\\")]
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        for path in files:
            text = as_text(path)
            assert not [secret for secret in secrets if secret in text], path
        return {path.suffix for path in files}


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def rows_of(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    return open_store(tmp_path / "store").sql(sql).fetchall()


@pytest.mark.parametrize("parrot", [False], indirect=True)
@pytest.mark.parametrize("logs", [(), ("--json-logs",)])
def test_keys_that_are_not_accepted_end_the_run_with_2_at_once(
    watched: Watched, parrot: Parrot, logs: tuple[str, ...]
) -> None:
    code = watched.run(parrot, "-m", "A_B", "-m", "C_D", "-s", "orders", *logs)

    assert code == 2
    assert "nothing of orders of A_B, orders of C_D was recorded" in watched.stderr
    assert "the key is not accepted (Authentication fail: [" in watched.stderr
    assert "check GATE_API_KEY and GATE_API_SECRET" in watched.stderr
    assert "Traceback" not in watched.stderr


@pytest.mark.parametrize("parrot", [False], indirect=True)
def test_beside_keys_that_are_not_accepted_markets_are_recorded_to_the_end(
    watched: Watched, parrot: Parrot, tmp_path: Path
) -> None:
    words = ("-m", "A_B", "-s", "trades", "-s", "balances")

    code = watched.run(
        parrot,
        *words,
        until=lambda: (
            "refused a subscription" in watched.stderr
            and "trades.subscribe" in [asked["method"] for asked in parrot.heard]
        ),
    )

    assert code == 2
    assert (
        "Error: nothing of balances was recorded: the key is not accepted"
        in watched.stderr
    )
    assert rows_of(tmp_path, "select trade_id from trades order by 1") == [(7,), (8,)]
    refused = "select stream from gaps where reason = 'subscription_rejected'"
    assert rows_of(tmp_path, refused) == [("balances",)]


@pytest.mark.parametrize("parrot", [True], indirect=True)
def test_with_keys_that_are_accepted_the_account_is_recorded(
    watched: Watched, parrot: Parrot, tmp_path: Path
) -> None:
    words = ("-m", "A_B", "-s", "orders", "-s", "balances")

    code = watched.run(parrot, *words, until=lambda: len(parrot.heard) > 9)

    assert code == 0
    orders = "select distinct market, order_id, event, side, text from orders"
    assert rows_of(tmp_path, orders) == [("A_B", 1, "query", "sell", "of ***")]
    frames = "select distinct reason from frames order by 1"
    assert [reason for (reason,) in rows_of(tmp_path, frames)] == [
        "archive",
        "undecodable",
        "unknown",
    ]
    kept = "select count(*) from frames where payload::varchar like '%***%'"
    assert rows_of(tmp_path, kept)[0][0] > 5
    ends = "select close_reason from connections where close_code = 4000"
    assert rows_of(tmp_path, ends)[0] == ("no more of ***",)


@pytest.mark.parametrize("parrot", [True], indirect=True)
def test_a_killed_run_leaves_no_key_behind(watched: Watched, parrot: Parrot) -> None:
    words = ("-m", "A_B", "-s", "orders", "-s", "balances", "--flush", "50ms")
    journals = watched.folder / "store/.recorder/journals"
    process = watched.start(parrot, *words)
    try:
        watched.wait(
            lambda: len(parrot.heard) > 9 and any(journals.glob("orders/**/*.arrow"))
        )
    finally:
        process.kill()
        process.wait()

    assert {".arrow", ".json"} <= watched.search(parrot)


@pytest.mark.parametrize("simulated", [("v4", SECRET)], indirect=True)
def test_right_keys_record_the_simulated_account(
    watched: Watched, simulated: Simulated, tmp_path: Path
) -> None:
    words = ("-m", "A_B", "-s", "orders", "-s", "balances", "-O", "keys=v4")

    code = watched.run(
        simulated, *words, "--json-logs", until=lambda: simulated.told(1) > 30
    )

    assert code == 0
    events = "select distinct event from orders order by 1"
    assert {"put", "finish"} <= {event for (event,) in rows_of(tmp_path, events)}
    kept = "select count(*) from frames where reason = 'archive'"
    assert rows_of(tmp_path, kept)[0][0] > 30


@pytest.mark.parametrize(
    ("simulated", "logs"),
    [
        (("v3", "another-secret"), ("--json-logs",)),
        (("v4", SECRET), ()),  # APIv4 keys, shown as if they were v3 keys
    ],
    indirect=["simulated"],
)
def test_wrong_keys_are_told_by_the_simulator_and_end_with_2(
    watched: Watched, simulated: Simulated, logs: tuple[str, ...]
) -> None:
    words = ("-m", "A_B", "-s", "orders", "-s", "balances")

    code = watched.run(simulated, *words, *logs)

    assert code == 2
    assert "the key is not accepted (Authentication fail.)" in watched.stderr
    assert "whether they are keys of -O keys=v3" in watched.stderr


@pytest.mark.parametrize("simulated", [("v3", SECRET)], indirect=True)
def test_a_run_that_is_killed_while_the_account_lives_leaves_no_key(
    watched: Watched, simulated: Simulated, tmp_path: Path
) -> None:
    words = ("-m", "A_B", "-s", "orders", "-s", "balances", "--flush", "50ms")
    process = watched.start(simulated, *words, "--json-logs")

    def is_covered() -> bool:
        """Whether the run has put down that it covers both streams."""
        covered = [
            interval
            for run in read_run_files(tmp_path / "store")
            for interval in run.state.intervals
            if interval.started_at
            and interval.ended_at is None
            and run.covered_until(interval) > interval.started_at
        ]
        return len(covered) == 2 and simulated.told(1) > 30

    try:
        watched.wait(is_covered)
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
    finally:
        process.kill()
        process.wait()

    assert KEY not in shown
    assert SECRET not in shown
    assert {".arrow", ".json"} <= watched.search(simulated)
    assert watched.run(simulated, *words, until=lambda: simulated.told(2) > 9) == 0
    killed = "select distinct stream from gaps where reason = 'process_killed'"
    assert {s for (s,) in rows_of(tmp_path, killed)} == {"orders", "balances"}
