"""A feed with an ear at its dialogues, its snapshots and its verdicts.

What is heard is noted; what is said and done stays the same.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from recorder.capture.rest import RestClient, excerpt
from recorder.errors import TransportError, WireError
from recorder.model import (
    Bbo,
    Chain,
    DepthUpdate,
    Kline,
    RawLevels,
    Ticker,
    Trade,
    WireEvent,
)
from recorder.probe.offset import Offset, resolution_ns
from recorder.probe.report import KeyReport, SaidReport
from recorder.source import (
    Dialogue,
    Ending,
    Heartbeat,
    HttpRequest,
    Leaving,
    Reply,
    Request,
    Secrets,
    Send,
    SnapshotRule,
    Source,
    Subscribed,
    Verdict,
)


SEARCHED_ALL: Final = 20_000
"""So many frames are all searched for keys not known ..."""

SEARCHED_EVERY: Final = 100
"""... and of those that follow one in so many: it takes its time."""

PING_SECONDS: Final = 5.0
"""Pings are sent at least so often: half a minute is to hold several answers."""

WORKED_OUT_NS: Final = 100_000_000
"""Where a venue sends whole seconds only, its feed may work out a finer time
from several answers. It has all digits, and may be wrong by so much."""

BEFORE_KEY_BYTES: Final = 40
"""So much of a frame is shown before a key that is not known."""

_TIMED: Final = (Trade, DepthUpdate, Bbo, Ticker, Kline)
"""Events whose ``ts_event`` is never later than their sending."""


class Ear:
    """Notes what is said on all connections of a probe.

    Args:
        secrets: The feed's keys, which no excerpt shows.

    Attributes:
        offset: How the clocks differ.
        accepted_at: First acceptance by chain, our clock, nanoseconds.
        said: What the venue said of itself without being asked.
        snapshots: Book snapshots that came by HTTP and could be decoded.
        snapshot_failures: Why others could not be had, and how often.
        status: HTTP status of the last handshake that was refused.
        refusal: How the body of that answer begins.
        frames: Received.
        frames_searched: Searched for keys not known.
    """

    def __init__(self, secrets: Secrets) -> None:
        self.offset = Offset()
        self.accepted_at: dict[Chain, int] = {}
        self.said: list[SaidReport] = []
        self.snapshots: Counter[Chain] = Counter()
        self.snapshot_failures: Counter[str] = Counter()
        self.status: int | None = None
        self.refusal = ""
        self.frames = 0
        self.frames_searched = 0
        self._secrets = secrets
        self._keys: dict[str, KeyReport] = {}

    def at(self, source: Source) -> Source:
        """Return a feed that does what this one does, and is heard."""

        def dialogue(
            chains: Sequence[Chain], options: Mapping[str, str], secrets: Secrets
        ) -> Dialogue:
            return _Heard(source.dialogue(chains, options, secrets), self)

        def verdict(ending: Ending) -> Verdict | None:
            if ending.status is not None:
                self.status = ending.status
                self.refusal = self.excerpt(ending.reason.encode())
            return source.verdict(ending)

        return msgspec.structs.replace(
            source,
            dialogue=dialogue,
            verdict=verdict,
            snapshot=self._rule(source.snapshot),
            ping_seconds=min(source.ping_seconds, PING_SECONDS),
        )

    def _rule(self, rule: SnapshotRule | None) -> SnapshotRule | None:
        if rule is None:
            return None
        decode = rule.decode

        def heard(chain: Chain, body: bytes) -> DepthUpdate[RawLevels]:
            event = decode(chain, body)
            self.snapshots[chain] += 1
            return event

        return msgspec.structs.replace(rule, decode=heard)

    def excerpt(self, payload: bytes) -> str:
        """Return how a frame begins, in one line that a terminal can show."""
        return excerpt(self._secrets.hide_bytes(payload))

    def _around(self, key: str, payload: bytes) -> str:
        """Return the part of a frame that has a key, given as a path."""
        name = key.rpartition(".")[2]
        at = payload.find(f'"{name}"'.encode())
        start = max(0, at - BEFORE_KEY_BYTES)
        return ("..." if start else "") + self.excerpt(payload[start:])

    def keys(self) -> tuple[KeyReport, ...]:
        """Return the keys that the feed did not know, by path."""
        return tuple(self._keys[key] for key in sorted(self._keys))

    def search(self, dialogue: Dialogue, payload: bytes) -> None:
        """Search a frame for keys that its feed does not know."""
        self.frames += 1
        if self.frames > SEARCHED_ALL and self.frames % SEARCHED_EVERY:
            return
        self.frames_searched += 1
        # What is no JSON is told of as undecodable.
        with suppress(WireError):
            for key in dict.fromkeys(dialogue.unknown_keys(payload)):
                known = self._keys.get(key)
                self._keys[key] = KeyReport(
                    key=key,
                    frames=known.frames + 1 if known else 1,
                    excerpt=known.excerpt if known else self._around(key, payload),
                )


class _Heard:
    """A dialogue that does what another one does, and tells an ear of it."""

    def __init__(self, inner: Dialogue, ear: Ear) -> None:
        self._inner = inner
        self._ear = ear
        self._opened_at = 0
        self._asked: deque[int] = deque()  # what heartbeats answer, in order

    def open(self, now_ns: int) -> Sequence[Request]:
        """Return what to send right after connecting, in order."""
        self._opened_at = now_ns
        return self._inner.open(now_ns)

    def ping(self, now_ns: int) -> bytes | None:
        """Return a frame that makes the venue answer; None if there is none."""
        payload = self._inner.ping(now_ns)
        if payload is not None:
            self._asked.append(now_ns)
        return payload

    def receive(self, payload: bytes, now_ns: int) -> Sequence[WireEvent | Reply]:
        """Return what a frame says; raises `WireError` as its feed does."""
        self._ear.search(self._inner, payload)
        items = self._inner.receive(payload, now_ns)
        for item in items:
            if isinstance(item, _TIMED):
                # What is of the past was made long ago, and tells nothing.
                if item.ts_event is not None and _is_live(item):
                    self._ear.offset.pushed(item.ts_event, now_ns)
            elif isinstance(item, Heartbeat):
                self._beat(item, now_ns)
            elif isinstance(item, Subscribed):
                self._accepted(item, now_ns)
            elif isinstance(item, Send):
                # Some feeds ask for the time of their own accord.
                for request in item.requests:
                    if not request.chains and not request.is_secret:
                        self._asked.append(now_ns)
            elif isinstance(item, Leaving):
                self._ear.said.append(SaidReport(kind="leaving", text=item.reason))
        return items

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> Sequence[Request]:
        """Return what to send to have these chains started afresh."""
        return self._inner.resubscribe(chains, now_ns)

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> Sequence[Request]:
        """Return what to send to ask for accepted chains once more."""
        return self._inner.ask_again(chains, now_ns)

    def due(self, now_ns: int) -> Sequence[Request]:
        """Return what is to be sent because its time has come."""
        return self._inner.due(now_ns)

    def unknown_keys(self, payload: bytes) -> Sequence[str]:
        """Return no keys: each frame is searched as it comes."""
        return ()

    def _beat(self, item: Heartbeat, now_ns: int) -> None:
        offset, time = self._ear.offset, item.ts_event
        is_stamp = time is None or resolution_ns(time) > 1
        doubt_ns = 0 if is_stamp else WORKED_OUT_NS
        if self._asked:
            asked_at = self._asked.popleft()
            offset.answered(asked_at, time, now_ns, doubt_ns=doubt_ns)
        elif time is not None:
            offset.pushed(time, now_ns, doubt_ns=doubt_ns)

    def _accepted(self, item: Subscribed, now_ns: int) -> None:
        for chain in item.chains:
            self._ear.accepted_at.setdefault(chain, now_ns)
        if item.ts_event is not None:
            self._ear.offset.answered(self._opened_at, item.ts_event, now_ns)


class HeardRest(RestClient):
    """HTTP calls whose failures an ear is told of; made as a `RestClient` is."""

    ear: Ear

    async def get(self, request: HttpRequest) -> bytes:
        """Return the body of a successful answer; raises `TransportError`."""
        try:
            return await super().get(request)
        except TransportError as exc:
            self.ear.snapshot_failures[str(exc)] += 1
            raise


def _is_live(item: WireEvent) -> bool:
    return getattr(item, "origin", "live") == "live"
