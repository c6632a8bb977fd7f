"""Attack a real capture with everything, one after another, and look what is left.

A process records one market over two connections. One of them is attacked, the
other is treated well. After each attack the victim is treated well again, and
has to record again. At the end the store must tell all of it.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final, NamedTuple

from recorder.clock import wall_ns
from recorder.store.listing import Listing, open_listing
from recorder.store.revisions import newest_revisions, plain_rows
from recorder.verify import verify
from trials.hostile.attacks import Attack, attacks, prepare
from trials.hostile.certificates import Certificates
from trials.hostile.process import Process
from trials.hostile.server import MARKET, VICTIM, Server


PEAK_MAX_BYTES: Final = 300 << 20
"""So much more than before an attack a capture may take while it lasts."""

SECONDS_MAX: Final = 180.0
"""After so long an attack has succeeded: nothing goes on."""

FEEDS: Final = Path(__file__).with_name("feeds")
STREAM: Final = f"depth:{VICTIM}"

SLACK_NS: Final = 5_000_000_000
"""A trade is read so long after it was told, at most, by a capture under attack."""


class Done(NamedTuple):
    """An attack that is over.

    Attributes:
        attack: What was done.
        since: When it began, nanoseconds.
        over: When it was over.
        until: When the victim recorded again.
        trades: The last trade told to the other connection before it ended.
        extra_bytes: Peak of the memory beyond that before.
        lines: The first line of the log that came then, and the first after it.
    """

    attack: Attack
    since: int
    over: int
    until: int
    trades: int
    extra_bytes: int
    lines: tuple[int, int]


async def run_hostile(root: Path, only: Collection[str] = ()) -> list[str]:
    """Do all attacks, or those of which the name holds some words; return complaints."""
    chosen = [
        attack
        for attack in attacks()
        if not only or any(words in attack.name for words in only)
    ]
    prepare(chosen)
    root.parent.mkdir(parents=True, exist_ok=True)
    secret = Path(tempfile.mkdtemp(prefix="hostile-"))
    try:
        certificates = Certificates(secret)
        async with Server(certificates.context()) as server:
            siege = Siege(server, certificates, root)
            complaints = await siege.run(chosen)
    finally:
        shutil.rmtree(secret)
    for complaint in complaints:
        print("FAIL ", complaint)
    return complaints


class Siege:
    """A capture that is attacked."""

    def __init__(self, server: Server, certificates: Certificates, root: Path) -> None:
        self._server = server
        self._certificates = certificates
        self._root = root
        self._done: list[Done] = []

    async def run(self, chosen: list[Attack]) -> list[str]:
        """Record, be attacked, stop; return complaints."""
        server = self._server
        listed = [attack for attack in chosen if attack.where == "list"]
        if listed:
            server.on_list = self._deed(listed[0])
        process = await self._start()
        complaints: list[str] = []
        try:
            await self._recorded(process)
            for attack in chosen:
                if attack.where == "list":
                    continue
                try:
                    async with asyncio.timeout(SECONDS_MAX):
                        await self._attack(process, attack)
                except TimeoutError:
                    complaints.append(f"{attack.name}: nothing was recorded afterwards")
                    server.on_socket = server.on_handshake = server.on_snapshot = None
                    server.drop()
                if not process.is_alive:
                    complaints.append(f"{attack.name}: the capture died")
                    break
        finally:
            code = await process.stop()
        if code != 0:
            complaints.append(f"exit code {code}: {process.said[-3:]}")
        return complaints + self._look(process)

    async def _start(self) -> Process:
        url = f"localhost:{self._server.port}"
        folder = self._root.parent
        return await Process.start(
            [
                *("capture", "harassed_spot", "-m", MARKET),
                *("-s", "trades", "-s", "depth:100ms", "-s", STREAM),
                *("--ws-url", f"wss://{url}/ws/v4/", "--rest-url", f"https://{url}"),
                *(
                    "--flush",
                    "0.2s",
                    "--store",
                    str(self._root.absolute()),
                    "--json-logs",
                ),
            ],
            {
                "PYTHONPATH": str(FEEDS),
                "SSL_CERT_FILE": str(self._certificates.trusted),
            },
            folder,
        )

    def _deed(self, attack: Attack) -> Any:
        async def deed(peer: Any) -> None:
            await attack.deed(self._server, peer)

        return deed

    async def _recorded(self, process: Process) -> None:
        """Wait until the victim has taken what was told it, and shows that."""
        server = self._server
        while server.victim is None and process.is_alive:  # noqa: ASYNC110 - a process starts
            await asyncio.sleep(0.01)
        asked = server.pinged + 1  # the next one
        while process.is_alive and server.answered < asked:  # noqa: ASYNC110 - or it dies
            await asyncio.sleep(0.01)

    async def _attack(self, process: Process, attack: Attack) -> None:
        server = self._server
        server.done.clear()
        process.reset_peak()
        before, _ = process.memory()
        since, began, first_line = wall_ns(), time.monotonic(), len(process.said)
        match attack.where:
            case "socket":
                server.on_socket = self._deed(attack)
            case "handshake":
                server.on_handshake = self._deed(attack)
                server.drop()
            case "certificate":
                name = attack.name.partition(": ")[2]
                self._certificates.show(server.context, name)
                lines = len(process.said)
                server.drop()
                try:
                    while not any(  # noqa: ASYNC110 - a process says it
                        "certificate" in _why(line) for line in process.said[lines:]
                    ):
                        await asyncio.sleep(0.01)
                finally:
                    self._certificates.show(server.context, "good")
                server.done.set()
            case _:
                server.on_snapshot = self._deed(attack)
                server.drop()
        await server.done.wait()
        over, server.on_handshake = wall_ns(), None
        if attack.where == "snapshot":
            await self._asked_again(process)
        await self._recorded(process)
        trades = len(server.told_at)
        await self._told(process)
        _, peak = process.memory()
        lines = first_line, len(process.said)
        done = Done(attack, since, over, wall_ns(), trades, peak - before, lines)
        self._done.append(done)
        print(
            f"{attack.name}: {done.extra_bytes >> 20} MB at most, "
            f"{time.monotonic() - began:.1f} s",
            flush=True,
        )

    async def _asked_again(self, process: Process) -> None:
        """Wait until a book was had: what fails in the same way again is not told."""
        books = self._server.books
        while self._server.books == books and process.is_alive:  # noqa: ASYNC110 - a process asks
            await asyncio.sleep(0.01)

    async def _told(self, process: Process) -> None:
        """Wait until what came before has been flushed, by what comes after."""
        target = self._server.updates + 20
        while self._server.updates < target and process.is_alive:  # noqa: ASYNC110 - a peer pushes
            await asyncio.sleep(0.01)

    # What is left ----------------------------------------------------------

    def _look(self, process: Process) -> list[str]:
        """Return what the store and the log do not say as they should."""
        listing = open_listing(self._root)
        complaints = self._missing(listing)
        complaints += [
            complaint
            for done in self._done
            for complaint in self._complaints(process, listing, done)
        ]
        complaints += [f"no attack: {why}" for why in self._server.broken]
        if self._server.on_list is not None:
            complaints.append("nobody asked for the list of markets")
        if self._server.strangers:
            complaints.append(f"another host was asked {self._server.strangers} times")
        outside = {path.name for path in self._root.parent.iterdir()} - {
            self._root.name
        }
        if outside:
            complaints.append(f"files outside the store: {sorted(outside)}")
        complaints += [
            line["text"] for line in process.said if line["event"] == "Noise"
        ]
        report = verify(self._root)
        complaints += [
            f"{f.kind}: {f.stream} {f.detail}" for f in report.findings if _is_error(f)
        ]
        print(f"{len(self._done)} attacks")
        return complaints

    def _missing(self, listing: Listing) -> list[str]:
        """Return complaints about trades of the other connection.

        Each is stored once, or lies in a gap of its own time.
        """
        ids = listing.read("trades")["trade_id"].to_pylist()
        stored = Counter(number for number in ids if number > 0)
        told = self._done[-1].trades if self._done else 0
        # Of those told after the last attack some were on their way at the stop.
        missing = [n for n in range(1, max([told, *stored]) + 1) if n not in stored]
        gaps = [
            (gap.started_at - SLACK_NS, gap.ended_at)
            for gap in newest_revisions(plain_rows(listing.read("gaps")))
            if gap.stream in ("trades", None)
            and gap.scope == "rows"
            and gap.healed_by is None
        ]
        lost = [
            number
            for number in missing
            for at in [self._server.told_at[number - 1]]
            if not any(
                since <= at and (until is None or at < until) for since, until in gaps
            )
        ]
        twice = sorted(number for number, count in stored.items() if count > 1)
        print(f"{len(stored)} trades of the other connection, {len(missing)} in gaps")
        found = [f"trades that are lost in silence: {lost[:9]}"] if lost else []
        return found + ([f"trades that are stored twice: {twice[:9]}"] if twice else [])

    def _complaints(self, process: Process, listing: Listing, done: Done) -> list[str]:
        attack, found = done.attack, []
        if done.extra_bytes > PEAK_MAX_BYTES:
            found.append(f"took {done.extra_bytes >> 20} MB")
        kept = _within(listing, "frames", done)
        is_owed = any(row["reason"] == "undecodable" for row in kept)
        told = {
            "rows": [] if is_owed else [attack.words],
            "frames": [row["error"] or "" for row in kept],
            "closed": [
                row["close_reason"] or ""
                for row in _within(listing, "connections", done)
            ],
            "refused": [_why(line) for line in process.said[slice(*done.lines)]],
        }[attack.leaves]
        if not any(re.search(attack.words, text) for text in told):
            found.append(f"nothing tells of it: {attack.leaves} {told[-5:]}")
        if (is_owed or attack.leaves == "closed") and not self._gaps(listing, done):
            found.append("no gap tells of it")
        depth = _within(listing, "depth", done)
        if not any(
            row["stream"] == STREAM and row["ts_recv"] >= done.over for row in depth
        ):
            found.append("the victim recorded nothing afterwards")
        most = max((len(row["bids"] or ()) for row in depth), default=0)
        if most < attack.least_levels or len(depth) < attack.least_rows:
            found.append(f"{len(depth)} rows of {most} levels at most")
        return [f"{attack.name}: {complaint}" for complaint in found]

    def _gaps(self, listing: Listing, done: Done) -> list[dict[str, Any]]:
        return [
            gap
            for gap in plain_rows(listing.read("gaps"))
            if gap["stream"] in (STREAM, None)
            and gap["started_at"] <= done.until
            and (gap["ended_at"] or done.until) >= done.since
        ]


def _why(line: dict[str, Any]) -> str:
    """Return what a line of the log says of why, if anything."""
    return str(line.get("facts", {}).get("why", ""))


def _is_error(finding: Any) -> bool:
    return bool(finding.severity == "error")


def _within(listing: Listing, table: str, done: Done) -> list[dict[str, Any]]:
    """Return rows received while an attack lasted, and until it was over."""
    rows = listing.read(table, start_ns=done.since, end_ns=done.until)
    return list(plain_rows(rows))
