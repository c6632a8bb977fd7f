"""What Gate's WebSocket v4 was asked over a connection, and its answers.

An answer names its request by ``id`` where the server echoes it, else by
``payload`` where it sends that, else it is the oldest open request of its
channel: a server handles a connection's requests in order.

A list of markets is refused as a whole for one market that the venue does
not know. So a refused list is asked again in two halves, down to single
markets, and only those are refused. Trouble of the server itself (code 3) is
no refusal: the same is asked again, with growing pauses, a few times. Nor is it
one that a stream is subscribed already: it was asked for afresh while the first
answer was on its way.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from recorder.errors import WireError
from recorder.model import Chain
from recorder.source import Refused, Reply, Request, Send, Subscribed, Unrecognized
from recorder.sources._gate import Fault, Status
from recorder.sources._json import NULL, decoded
from recorder.sources._later import TRIES, Later, wait_ns
from recorder.sources._times import MILLISECOND_NS, SECOND_NS, Milliseconds, Seconds


_SERVER_ERROR: Final = 3

ALREADY: Final = "Alert sub "
"""So begins the answer for a stream that is subscribed already, and goes on."""


class Stamped(msgspec.Struct, gc=False, kw_only=True):
    """The times of an envelope; either may be missing, or 0 in answers."""

    time: Seconds | None = None
    time_ms: Milliseconds | None = None

    def precise_ns(self) -> int | None:
        """Return the venue's clock, nanoseconds, if sent in milliseconds."""
        return self.time_ms * MILLISECOND_NS if self.time_ms else None

    def ts_event(self) -> int | None:
        """Return the venue's clock, nanoseconds, as fine as it was sent.

        Frames from before November 2022 tell whole seconds only.
        """
        if self.time_ms:
            return self.time_ms * MILLISECOND_NS
        return self.time * SECOND_NS if self.time else None


class Envelope(Stamped, gc=False, kw_only=True):
    """Any frame, its result still undecoded."""

    id: int | str | None = None
    channel: str = ""
    event: str = ""
    payload: msgspec.Raw = NULL
    error: Fault | None = None
    result: msgspec.Raw = NULL


_ANY: Final = msgspec.json.Decoder()
_STATUS: Final = msgspec.json.Decoder(Status)
_ITEMS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class _Asked(msgspec.Struct, frozen=True):
    channel: str
    event: str
    payload: list[str]
    chains: tuple[Chain, ...]
    tries: int


class Requests:
    """What was asked over one connection, and what the answers mean.

    Args:
        address: Channel and payload that ask for the given chains, all of
            which one request can carry.

    Attributes:
        later: What is to be asked again.
    """

    __slots__ = ("_address", "_last_id", "_open", "later")

    def __init__(
        self, address: Callable[[Sequence[Chain]], tuple[str, list[str]]]
    ) -> None:
        self._address = address
        self._last_id = 0
        self._open: dict[int, _Asked] = {}
        self.later: Later[_Asked] = Later()

    def ask(
        self,
        chains: Sequence[Chain],
        now_ns: int,
        *,
        event: str = "subscribe",
        tries: int = 1,
    ) -> Request:
        """Return a request about these chains and remember it.

        Args:
            chains: As many as one request can carry.
            now_ns: Our clock when it is sent, nanoseconds: the venue refuses
                requests whose ``time`` is a minute off.
            event: ``subscribe`` or ``unsubscribe``.
            tries: How often this was asked, this time included.
        """
        channel, payload = self._address(chains)
        self._last_id += 1
        asked = _Asked(
            channel=channel,
            event=event,
            payload=payload,
            chains=tuple(chains),
            tries=tries,
        )
        self._open[self._last_id] = asked
        frame = {
            "time": now_ns // SECOND_NS,
            "id": self._last_id,
            "channel": channel,
            "event": event,
            "payload": payload,
        }
        return Request(
            payload=msgspec.json.encode(frame),
            chains=asked.chains if event == "subscribe" else (),
        )

    def answer(self, ack: Envelope, now_ns: int) -> list[Reply]:
        """Return what an answer means for what was asked.

        Raises:
            WireError: If its result does not fit.
        """
        results = [decoded(_STATUS, raw).status for raw in items_of(ack.result)]
        status = results[0] if results else None
        asked = self._take(ack)
        words = ack.error.words() if ack.error else f"status {status!r}"
        if asked is None:
            names = " ".join(name for name in (ack.channel, ack.event) if name)
            said = f"{names}: {words}" if names else words
            return [Unrecognized(error=f"answers nothing that was asked: {said}")]
        is_good = ack.error is None and status == "success"
        if asked.event != "subscribe":
            return [] if is_good else [Unrecognized(error=f"unsubscribe: {words}")]
        if is_good:
            return [Subscribed(chains=asked.chains, ts_event=ack.precise_ns())]
        code = ack.error.code if ack.error else None
        return self._failed(asked, code, words, now_ns)

    def due(self, now_ns: int) -> list[Request]:
        """Return what is to be asked again by now."""
        return [
            self.ask(asked.chains, now_ns, tries=asked.tries + 1)
            for asked in self.later.take(now_ns)
        ]

    def _failed(
        self, asked: _Asked, code: int | None, words: str, now_ns: int
    ) -> list[Reply]:
        if code == _SERVER_ERROR:
            if asked.tries < TRIES:
                self.later.put(asked, now_ns + wait_ns(asked.tries))
                return []
            reason = f"{words} (asked {TRIES} times)"
            return [Refused(chains=asked.chains, reason=reason)]
        if len(asked.chains) == 1:
            if ALREADY in words:
                return [Subscribed(chains=asked.chains, ts_event=None)]
            return [Refused(chains=asked.chains, reason=words)]
        half = len(asked.chains) // 2
        halves = asked.chains[:half], asked.chains[half:]
        return [Send(requests=tuple(self.ask(part, now_ns) for part in halves))]

    def _take(self, ack: Envelope) -> _Asked | None:
        if ack.id is not None:
            return self._open.pop(ack.id, None) if isinstance(ack.id, int) else None
        payload = decoded(_ANY, ack.payload)
        for number, asked in self._open.items():
            if (asked.channel, asked.event) == (ack.channel, ack.event) and (
                payload is None or asked.payload == payload
            ):
                return self._open.pop(number)
        return None


def batched(
    chains: Sequence[Chain], lists: Sequence[tuple[Callable[[str], bool], int]]
) -> list[tuple[Chain, ...]]:
    """Return chains, grouped as one request each can carry them.

    Args:
        chains: Any number.
        lists: Kinds of streams of which one request carries several: which
            canonical streams are of the kind, and how many at most. All
            others go alone, after them.
    """
    batches: list[tuple[Chain, ...]] = []
    alone = list(chains)
    for is_of_kind, most in lists:
        listed = [chain for chain in alone if is_of_kind(chain.stream)]
        batches += (tuple(listed[at : at + most]) for at in range(0, len(listed), most))
        alone = [chain for chain in alone if not is_of_kind(chain.stream)]
    return batches + [(chain,) for chain in alone]


def items_of(raw: msgspec.Raw, depth: int = 2) -> Iterator[msgspec.Raw]:
    """Yield the objects of a result: itself, or the items of its arrays.

    Args:
        raw: An object, an array of objects, or an array of such arrays;
            all three occur. Null instead of them is no object.
        depth: How many arrays may be nested.

    Raises:
        WireError: If it is not valid JSON, or an array holds null.
    """
    text = bytes(raw)
    if text.startswith(b"[") and depth:
        for item in decoded(_ITEMS, text):
            if item == NULL:
                raise WireError("null among rows")
            yield from items_of(item, depth - 1)
    elif raw != NULL:
        yield raw
