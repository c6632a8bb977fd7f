"""Damaged frames through all of a capture but its sockets, and what is asked of it.

A frame goes through the feed's dialogue, the session, the writer and into
Parquet. Each must leave a row for every event that it says, or a row of
``frames`` with its very bytes, or be one that says nothing of the market.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from recorder.capture.doubles import Doubles
from recorder.capture.findings import Findings
from recorder.capture.link import Link
from recorder.capture.session import Session
from recorder.errors import StoreError, WireError
from recorder.model import Chain
from recorder.source import (
    Dialogue,
    HttpRequest,
    Request,
    Said,
    Secrets,
    Source,
    Subscribed,
    resolve_options,
)
from recorder.store.layout import SECOND_NS
from recorder.store.ledger import Ledger
from recorder.store.listing import open_listing
from recorder.store.run import open_run
from recorder.store.writer import Writer
from recorder.verify import verify
from trials.fuzz.corpus import Corpus
from trials.fuzz.damage import damaged
from trials.fuzz.errors import FoundError
from trials.fuzz.outcome import Seen, Stored, Told, became


START_NS: Final = 1_790_000_000 * SECOND_NS
STEP_NS: Final = SECOND_NS // 10
ASKED_AFTER_NS: Final = 10 * SECOND_NS
ACCEPT: Final = b"\0accept\0"
"""Stands for answers that accept all chains of a connection."""

KEY: Final = "fuzzed-key-of-nobody"


class Clock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = START_NS

    def now_ns(self) -> int:
        """Return a later time than before."""
        self.now += 1
        return self.now


class Heard:
    """A dialogue, and what it said of each frame.

    Attributes:
        said: What it said last, or what it raised.
    """

    def __init__(self, inner: Dialogue, chains: Sequence[Chain]) -> None:
        self._inner = inner
        self._chains = tuple(chains)
        self.said: Said | Exception = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def receive(self, payload: bytes, now_ns: int) -> Said:
        """Pass a frame on, and note what is said of it."""
        if payload == ACCEPT:
            return [Subscribed(chains=self._chains)]
        try:
            self.said = list(self._inner.receive(payload, now_ns))
        except Exception as error:
            self.said = error
            raise
        return self.said


def try_feed(
    source: Source, corpus: Corpus, numbers: Sequence[int], root: Path
) -> Counter[str]:
    """Have frames damaged and recorded; return what became of them.

    Args:
        source: The feed.
        corpus: Its whole frames.
        numbers: One for each frame; what is damaged, and how.
        root: Where a store is to be; it must not exist.

    Raises:
        FoundError: If a frame left nothing, or the store is not what it says.
        Exception: Whatever a frame raised.
    """
    desk = Desk(source, corpus, root)
    try:
        for number in numbers:
            desk.do(number)
    finally:
        desk.close()
    return desk.judge()


def try_frames(
    source: Source, corpus: Corpus, frames: Sequence[bytes], root: Path
) -> Counter[str]:
    """Have frames recorded over every connection, and again over the next ones.

    Args, errors: As of `try_feed`.
    """
    desk = Desk(source, corpus, root)
    try:
        for _ in range(2):
            desk.play(frames)
    finally:
        desk.close()
    return desk.judge()


Step: TypeAlias = tuple[str, str, str | list[str] | None]
"""Market and stream of a chain, and what its connection brings; None: it is lost.

A list is told by HTTP, as soon as a snapshot is asked for.
"""


def try_steps(
    source: Source, corpus: Corpus, steps: Sequence[Step], root: Path
) -> Counter[str]:
    """Have frames recorded, each over the connection of some chain.

    Args, errors: As of `try_feed`.
    """
    desk = Desk(source, corpus, root)
    try:
        for market, stream, what in steps:
            desk.step(Chain(market, stream), what)
    finally:
        desk.close()
    return desk.judge()


class Desk:
    """A session with its writer, and a connection for each group of chains."""

    def __init__(self, source: Source, corpus: Corpus, root: Path) -> None:
        self._corpus = corpus
        self._clock = Clock()
        self._root = root
        self._told: list[Told] = []
        self._flushes = 0
        self._errors: list[StoreError] = []
        self._run = open_run(root, job="fuzz", source=source.name, now_ns=START_NS)
        self._source = msgspec.structs.replace(source, dialogue=self._dialogue(source))
        self._secrets = Secrets({secret.name: KEY for secret in source.secrets})
        self._findings = Findings()
        self._session = Session(
            self._source,
            resolve_options(source, {}),
            corpus.chains,
            run=self._run.id,
            clock=self._clock,
            ledger=Ledger("fuzz", self._run.id, corpus.chains, ()),
            doubles=Doubles(source.status_identity),
            secrets=self._secrets,
        )
        self._writer = Writer(
            self._run,
            on_faults=self._findings.faults,
            on_batch=self._findings.see,
            on_error=self._errors.append,
        )
        self._writer.start()
        self._groups = source.plan(corpus.chains)
        self._conns = 0
        self._links = [self._open(group) for group in self._groups]

    @staticmethod
    def _dialogue(source: Source) -> Any:
        def make(
            chains: Sequence[Chain], options: Mapping[str, str], secrets: Secrets
        ) -> Heard:
            return Heard(source.dialogue(chains, options, secrets), chains)

        return make

    def _open(self, group: Sequence[Chain]) -> Link:
        name = f"{self._run.id}.{self._conns}"
        self._conns += 1
        now = self._clock.now_ns()
        link = self._session.opened(name, "ws://x/", group, now)
        self._send(link)
        self._session.frame(link, self._clock.now_ns(), ACCEPT, opcode="text")
        return link

    def _send(self, link: Link) -> None:
        while link.outbox:
            request: Request = link.outbox.popleft()
            self._session.sent(link, request, self._clock.now_ns())

    def do(self, number: int) -> None:
        """Do what a number says: a frame mostly, now and then something else."""
        self._clock.now += STEP_NS
        what = number % 64
        if what == 0:
            self._clock.now += SECOND_NS * (number // 64 % 100)
            self._session.tick(self._clock.now_ns())
        elif what == 1:
            self._flush()
        elif what == 2:
            place = number // 64 % len(self._links)
            self._close(place)
        elif what <= 6:
            self._answer(number)
        else:
            frame, place = damaged(self._corpus.frames, number)
            takers = self._corpus.takers[place]
            if takers and number // 64 % 8:
                self._say(frame, takers[number // 512 % len(takers)])
            else:
                self._say(frame, number // 512)

    def play(self, frames: Sequence[bytes]) -> None:
        """Have each connection bring all of some frames, and be lost."""
        for place in range(len(self._links)):
            for payload in frames:
                self._clock.now += STEP_NS
                self._say(payload, place)
            self._flush()
            self._close(place)
        self._flush()

    def step(self, chain: Chain, what: str | list[str] | None) -> None:
        """Take the next `Step` of a chain."""
        self._clock.now += STEP_NS
        place = next(n for n, group in enumerate(self._groups) if chain in group)
        if what is None:
            self._close(place)
        elif isinstance(what, str):
            self._say(what.encode(), place)
        else:
            self._flush()  # so that the session knows what could not be stored
            for body in what:
                self._tell(chain, body.encode())

    def _tell(self, chain: Chain, body: bytes) -> None:
        self._clock.now += ASKED_AFTER_NS
        ask = HttpRequest(path="/book", query=())
        while due := self._session.books.next_due(self._clock.now_ns()):
            if due[0] == chain:
                self._session.snapshots.take(*due, ask, self._clock.now_ns(), body)
                return
        raise FoundError(f"no snapshot of {chain} is asked for")

    def _say(self, payload: bytes, number: int) -> None:
        place = number % len(self._links)
        link = self._links[place]
        seq = link.seq
        self._session.frame(link, self._clock.now_ns(), payload, opcode="text")
        dialogue: Any = link.dialogue
        self._told.append(Told(link.conn, seq, payload, dialogue.said))
        self._send(link)
        if link.is_dead:
            self._close(place)

    def _close(self, place: int) -> None:
        link = self._links[place]
        self._session.closed(link, self._clock.now_ns(), 1006, "torn off")
        group = [c for c in self._groups[place] if c not in self._session.refused]
        self._links[place] = self._open(group or self._groups[place])

    def _answer(self, number: int) -> None:
        """Answer what is asked by HTTP, or have a list of markets come."""
        body, _ = damaged(self._corpus.bodies, number)
        due = self._session.books.next_due(self._clock.now_ns())
        if due is not None and self._source.snapshot is not None:
            ask = HttpRequest(path="/book", query=())
            self._session.snapshots.take(*due, ask, self._clock.now_ns(), body)
        if self._source.market_list is not None:
            ask = HttpRequest(path="/list", query=())
            try:
                markets = self._source.market_list.decode(body)
                self._session.lists.take(ask, self._clock.now_ns(), body, markets)
            except WireError as error:
                self._session.lists.keep(ask, self._clock.now_ns(), body, str(error))
        for history in self._source.history:
            for chain in self._corpus.chains[:2]:
                with contextlib.suppress(WireError):
                    history.decode(chain, body)

    def _flush(self) -> None:
        self._findings.warn(self._session)
        self._submit()
        self._findings.tell(self._session, self._clock.now_ns())

    def _submit(self) -> None:
        self._writer.submit(self._session.take(self._clock.now_ns()))
        self._flushes += 1
        while self._writer.stats().flushes < self._flushes and not self._errors:
            time.sleep(0.0002)
        self._session.written(self._flushes)

    def close(self) -> None:
        """End in order, as a capture does."""
        try:
            self._session.stop(self._clock.now_ns())
            self._flush()
            self._session.settle()
            self._submit()
        finally:
            self._writer.close()
            self._run.release()

    def judge(self) -> Counter[str]:
        """Return what became of the frames.

        Raises:
            FoundError: If one left nothing, or the store is not what it says.
        """
        stored = Stored(open_listing(self._root))
        seen = Seen()
        found = Counter(became(told, stored, seen) for told in self._told)
        report = verify(self._root)
        if report.errors:
            raise FoundError(f"the store is not what it says: {report.findings}")
        return found
