"""The conversation of Gate's WebSocket v4, the same for spot and futures.

One envelope around everything: ``time``, ``time_ms``, ``channel``,
``event``, ``result``. This module knows the envelope, the answers to
requests (`_gate_v4_asking`) and the frames of the session itself (pong, system notice); what a
channel's ``result`` means is the feed's to say, in its routes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar

import msgspec

from recorder.model import Chain, StatusEvent
from recorder.source import Heartbeat, Leaving, Request, Said, Send, Unrecognized
from recorder.sources._gate_v4_asking import Envelope, Requests, Stamped, items_of
from recorder.sources._json import (
    DECODE_ERRORS,
    NULL,
    Known,
    check_utf8,
    decoded,
    keys,
    unknown_paths,
    value_of,
)
from recorder.sources._times import SECOND_NS


R = TypeVar("R")

_ANSWERS: Final = ("subscribe", "unsubscribe")
_PUSHES: Final = ("update", "all")


class Push(Stamped, Generic[R], gc=False, kw_only=True):
    """A push in its common form, decoded in one pass."""

    channel: str
    event: Literal["update", "all"]
    error: None = None
    result: R


class Route(msgspec.Struct, Generic[R], frozen=True):
    """How pushes of one channel are understood.

    Attributes:
        channel: Its name.
        push: Decodes a whole push in the form that is usual: its result is
            one object, or may also be an array of them.
        result: Decodes one object of a result.
        make: What such an object, with the times of its envelope, says.
        event: What such pushes call themselves.
    """

    channel: str
    push: msgspec.json.Decoder[Push[R]] | msgspec.json.Decoder[Push[R | list[R]]]
    result: msgspec.json.Decoder[R]
    make: Callable[[R, Stamped], Said]
    event: Literal["update", "all"] = "update"


class _System(msgspec.Struct, gc=False):
    type: str
    msg: str | None = None


_ENVELOPE: Final = msgspec.json.Decoder(Envelope)
_SYSTEM: Final = msgspec.json.Decoder(_System)

_KNOWN_ENVELOPE: Final = keys(
    "time time_ms id conn_id trace_id channel event payload error result requestId"
) | {"error": keys("code message")}
_KNOWN_STATUS: Final = keys("status")
_KNOWN_SYSTEM: Final = keys("type msg data")
_UPGRADE: Final = "upgrade"
"""The notice that all connections will be closed soon; others are about formats."""


class Conversation(ABC):
    """One connection's conversation; a feed says what its channels mean.

    Args:
        chains: What this connection is to carry.
    """

    prefix: ClassVar[str]
    """``spot`` or ``futures``: what channel names start with."""
    known: ClassVar[Mapping[str, Known]]
    """Known keys of a result, by channel."""
    requests_per_second: ClassVar[int]
    """How fast requests are sent, at most."""

    def __init__(self, chains: Sequence[Chain]) -> None:
        self._chains = tuple(dict.fromkeys(chains))
        self._requests = Requests(self.address)
        self._later = self._requests.later
        routes = self.routes()
        self._routes: dict[tuple[str, str], Route[Any]] = {
            (route.channel, route.event): route for route in routes
        }
        self._by_name = {route.channel.encode(): route for route in routes}
        self._mark = f'"{self.prefix}.'.encode()

    @abstractmethod
    def routes(self) -> Sequence[Route[Any]]:
        """Return how pushes are understood, one for each channel."""

    def other(self, frame: Envelope, now_ns: int) -> Said | None:
        """Return what a push says that goes no route; None if it is not known.

        Args:
            frame: The push.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If it does not fit.
        """
        del frame, now_ns
        return None

    def ask(
        self, chains: Sequence[Chain], now_ns: int, *, event: str = "subscribe"
    ) -> Request:
        """Return one request about chains that one can carry; see `Requests`."""
        return self._requests.ask(chains, now_ns, event=event)

    @abstractmethod
    def address(self, chains: Sequence[Chain]) -> tuple[str, list[str]]:
        """Return channel and payload that ask for chains of one request."""

    @abstractmethod
    def batches(self, chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
        """Return the chains, grouped as one request each can carry them."""

    def open(self, now_ns: int) -> list[Request]:
        """Return what to send right after connecting, in order.

        Thousands of requests take a while at the pace they are sent with, so
        later ones carry the second in which their turn comes.
        """
        pace = self.requests_per_second
        return [
            self._requests.ask(batch, now_ns + number // pace * SECOND_NS)
            for number, batch in enumerate(self.batches(self._chains))
        ]

    def ping(self, now_ns: int) -> bytes:
        """Return a frame that makes the venue answer."""
        frame = {"time": now_ns // SECOND_NS, "channel": f"{self.prefix}.ping"}
        return msgspec.json.encode(frame)

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to have these chains started afresh.

        A subscription that exists already is acked and left as it is, so it
        is ended first.
        """
        return [
            self._requests.ask(batch, now_ns, event=event)
            for batch in self.batches(chains)
            for event in ("unsubscribe", "subscribe")
        ]

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to ask for accepted chains once more.

        What exists already is acked and left as it is.
        """
        return [self._requests.ask(batch, now_ns) for batch in self.batches(chains)]

    def receive(self, payload: bytes, now_ns: int) -> Said:
        """Return what a frame says, in the order of the frame.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If the frame cannot be decoded.
        """
        if not payload.isascii():
            check_utf8(payload)
        said = self._push(payload)
        if said is None:
            said = self._any(payload, now_ns)
        if self._later.due_ns <= now_ns:
            said = [*said, Send(requests=tuple(self.due(now_ns)))]
        return said

    def due(self, now_ns: int) -> list[Request]:
        """Return what is to be sent because its time has come."""
        return self._requests.due(now_ns)

    def unknown_keys(self, payload: bytes) -> tuple[str, ...]:
        """Return keys of a frame that this feed does not know, as paths.

        Raises:
            WireError: If the frame is not valid JSON.
        """
        result: Known = None
        channel = value_of(payload, "channel")
        if value_of(payload, "event") in _ANSWERS:
            result = _KNOWN_STATUS
        elif channel == f"{self.prefix}.system":
            result = _KNOWN_SYSTEM
        elif isinstance(channel, str):
            result = self.known.get(channel)
        return unknown_paths(payload, {**_KNOWN_ENVELOPE, "result": result})

    def _push(self, payload: bytes) -> Said | None:
        # The channel's name is looked for in the bytes, which is a guess: any
        # text may hold it. The decoder checks it, and what does not fit its
        # form is left to the long way.
        start = payload.find(self._mark) + 1
        name = payload[start : payload.find(b'"', start)]
        route = self._by_name.get(name)
        if route is None:
            return None
        try:
            push = route.push.decode(payload)
        except DECODE_ERRORS:
            return None
        if push.channel != route.channel or push.event != route.event:
            return None
        result = push.result
        if isinstance(result, list):
            return [said for row in result for said in route.make(row, push)]
        return route.make(result, push)

    def _any(self, payload: bytes, now_ns: int) -> Said:
        frame = decoded(_ENVELOPE, payload)
        if frame.channel == f"{self.prefix}.pong" and frame.error is None:
            return [Heartbeat(ts_event=frame.precise_ns())]
        if frame.event in _ANSWERS or (frame.event == "" and frame.id is not None):
            return [*self._requests.answer(frame, now_ns)]
        if frame.error is not None:
            return [Unrecognized(error=_about(frame.channel, frame.error.words()))]
        if frame.event in _PUSHES:
            if frame.result == NULL:
                words = _about(frame.channel, "an update without result")
                return [Unrecognized(error=words)]
            if frame.channel == f"{self.prefix}.system":
                return self._notice(frame, payload)
            route = self._routes.get((frame.channel, frame.event))
            if route is not None:
                return [
                    said
                    for raw in items_of(frame.result)
                    for said in route.make(decoded(route.result, raw), frame)
                ]
            said = self.other(frame, now_ns)
            if said is not None:
                return said
        what = f"channel {frame.channel!r}, event {frame.event!r}"
        return [Unrecognized(error=f"not known: {what}")]

    def _notice(self, frame: Envelope, payload: bytes) -> Said:
        notices = [decoded(_SYSTEM, raw) for raw in items_of(frame.result)]
        said: Said = [
            StatusEvent(
                kind=notice.type,
                title=notice.msg,
                payload=payload.decode(),
                ts_event=frame.ts_event(),
            )
            for notice in notices
        ]
        said += [
            Leaving(reason=notice.msg or notice.type)
            for notice in notices
            if notice.type == _UPGRADE
        ]
        return said


def _about(channel: str, words: str) -> str:
    """Return what is said of a channel; an error of no request names none."""
    return f"{channel}: {words}" if channel else words
