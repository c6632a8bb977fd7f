"""OKX v5, the channel ``status``: maintenance of the venue's systems.

One stream, about no market. Whoever subscribes is sent the latest change
first, which may be years old; from then on every change comes as it is made.
There is no id of an event: a change is known by all that it says.

The channel may be silent for days, and a connection on which nothing goes for
30 seconds is closed, so the text ``ping``, which is no JSON, is what keeps it
alive. The answer is the text ``pong``.

An error answers a whole request, or one channel of it. Its code decides:
what is wrong with the request or the address stays wrong, trouble of the
venue is asked again after a pause, and who asks too often has to stay away
for a while. A code that nobody knows counts as trouble, and its frame is
kept. What it says in words may hold the request itself, escaped, and
is never taken apart.

Interruptions of less than five seconds are not announced here. Notice 64008
tells a connection that it will be closed for an upgrade, some 30 to 60 s
before it is.

Source: OKX documents of the status channel (2026-01-15) and of error codes
(2026-07-20); protocol facts, section 4.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from recorder.model import NO_MARKET, Chain, StatusEvent
from recorder.source import (
    NO_SECRETS,
    Heartbeat,
    Leaving,
    Option,
    Quit,
    Refused,
    Request,
    Said,
    Secrets,
    Send,
    Source,
    StreamKind,
    Subscribed,
    Unrecognized,
    Verdict,
    decimal_ns,
    told_of_maintenance,
)
from recorder.sources._json import (
    Known,
    check_utf8,
    decoded,
    keys,
    unknown_paths,
)
from recorder.sources._later import TRIES, Later, wait_ns
from recorder.sources._times import MILLISECOND_NS


_CHANNEL: Final = "status"
_CHAIN: Final = Chain(NO_MARKET, _CHANNEL)

_HOSTS: Final = (
    "ws.okx.com",
    "wsus.okx.com",
    "wseea.okx.com",
    "wspap.okx.com",
    "wsuspap.okx.com",
    "wseeapap.okx.com",
)

_ANSWERS: Final = ("subscribe", "unsubscribe")
_UPGRADE: Final = "64008"

_WRONG_ADDRESS: Final = frozenset({"60008", "60018", "60028", "64001", "64002"})
"""Not served there: another host or path would be needed."""

_PERMANENT: Final = _WRONG_ADDRESS | frozenset(
    {"60011", "60012", "60013", "60019", "60027", "60033", "64000"}
)
"""What is wrong will be so the next time."""

_TROUBLE: Final = frozenset({"63999", "64007"})
"""Errors inside the venue, which pass."""

_TOO_OFTEN: Final = "60014"

_STAY_AWAY_SECONDS: Final = 300.0
"""Requests are counted by the hour, for each connection."""

_TROUBLE_SECONDS: Final = 60.0
"""After `TRIES` requests that the venue could not serve."""


class _Arg(msgspec.Struct, gc=False):
    channel: str = ""


class _Frame(msgspec.Struct, gc=False):
    """Any frame; an answer has an event, a push has data."""

    event: str | None = None
    arg: _Arg | None = None
    data: list[msgspec.Raw] | None = None
    id: str | None = None
    code: str | None = None
    msg: str | None = None


class _Change(msgspec.Struct, gc=False):
    """A maintenance as it stands after a change; all values are texts.

    What has no column of its own stays in the payload.
    """

    begin: str | None = None
    end: str | None = None
    href: str | None = None
    state: str | None = None
    title: str | None = None
    ts: str | None = None


class _Asked(msgspec.Struct, frozen=True):
    op: str
    tries: int


_FRAME: Final = msgspec.json.Decoder(_Frame)
_CHANGE: Final = msgspec.json.Decoder(_Change)

_KNOWN: Final[Mapping[str, Known]] = keys("id event code msg connId") | {
    "arg": keys("channel"),
    "data": [
        keys(
            "begin end env href maintType preOpenBegin scheDesc serviceType state "
            "system title ts"
        )
    ],
}


class Dialogue:
    """The conversation over one connection.

    Args:
        _chains: There is only one.
        _options: None matter here.
        _secrets: None are known.
    """

    def __init__(
        self,
        _chains: Sequence[Chain],
        _options: Mapping[str, str],
        _secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._last_id = 0
        self._open: dict[str, _Asked] = {}
        self._later: Later[int] = Later()

    def open(self, now_ns: int) -> list[Request]:
        """Return what to send right after connecting."""
        del now_ns  # nothing in a request depends on it
        return [self._ask()]

    def ping(self, now_ns: int) -> bytes:
        """Return a frame that makes the venue answer."""
        del now_ns
        return b"ping"

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to have the channel started afresh."""
        del chains, now_ns
        return [self._ask(op="unsubscribe"), self._ask()]

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> list[Request]:
        """Return what to send to ask for the channel once more.

        It goes on, and its latest change comes again.
        """
        del chains
        return self.open(now_ns)

    def receive(self, payload: bytes, now_ns: int) -> Said:
        """Return what a frame says.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If the frame cannot be decoded.
        """
        said: Said
        if payload == b"pong":
            said = [Heartbeat()]
        else:
            if not payload.isascii():
                check_utf8(payload)
            said = self._on_frame(decoded(_FRAME, payload), payload, now_ns)
        if self._later.due_ns <= now_ns:
            said.append(Send(requests=tuple(self.due(now_ns))))
        return said

    def due(self, now_ns: int) -> list[Request]:
        """Return what is to be sent because its time has come."""
        return [self._ask(tries=tries) for tries in self._later.take(now_ns)]

    def unknown_keys(self, payload: bytes) -> tuple[str, ...]:
        """Return keys of a frame that this feed does not know, as paths.

        Raises:
            WireError: If the frame is not valid JSON.
        """
        return unknown_paths(payload, _KNOWN)

    def _on_frame(self, frame: _Frame, payload: bytes, now_ns: int) -> Said:
        channel = frame.arg.channel if frame.arg else None
        if frame.event == "error":
            return self._on_error(frame, now_ns)
        if frame.event == "notice":
            return _notice(frame, payload)
        if channel == _CHANNEL:
            if frame.event is None and frame.data is not None:
                return [_change(raw) for raw in frame.data]
            if frame.event in _ANSWERS and self._answered(frame):
                is_accepted = frame.event == "subscribe"
                return [Subscribed(chains=(_CHAIN,))] if is_accepted else []
        what = f"event {frame.event!r}, channel {channel!r}"
        return [Unrecognized(error=f"not known or not asked for: {what}")]

    def _on_error(self, frame: _Frame, now_ns: int) -> Said:
        code = frame.code or "no code"
        words = f"{code}: {frame.msg or 'no words'}"
        asked = self._answered(frame)
        if asked is None or asked.op != "subscribe":
            return [Unrecognized(error=f"answers no subscription: {words}")]
        if code in _PERMANENT:
            hint = "; check -O host and --ws-url" if code in _WRONG_ADDRESS else ""
            return [Refused(chains=(_CHAIN,), reason=f"{words}{hint}")]
        if code == _TOO_OFTEN:
            return [_come_back(words, _STAY_AWAY_SECONDS)]
        if asked.tries < TRIES:
            self._later.put(asked.tries + 1, now_ns + wait_ns(asked.tries))
            if code in _TROUBLE:
                return []
            return [Unrecognized(error=f"not known, asked again: {words}")]
        return [_come_back(f"{words} (asked {TRIES} times)", _TROUBLE_SECONDS)]

    def _answered(self, frame: _Frame) -> _Asked | None:
        """Return the request that a frame answers, once.

        An answer without an id is to the oldest: they come in order.
        """
        number = next(iter(self._open), None) if frame.id is None else frame.id
        return None if number is None else self._open.pop(number, None)

    def _ask(self, *, op: str = "subscribe", tries: int = 1) -> Request:
        self._last_id += 1
        number = str(self._last_id)
        self._open[number] = _Asked(op, tries)
        frame = {"id": number, "op": op, "args": [{"channel": _CHANNEL}]}
        return Request(
            payload=msgspec.json.encode(frame),
            chains=(_CHAIN,) if op == "subscribe" else (),
        )


def _change(raw: msgspec.Raw) -> StatusEvent:
    change = decoded(_CHANGE, raw)
    return StatusEvent(
        kind="maintenance",
        state=change.state or None,
        title=change.title or None,
        url=change.href or None,
        starts_at=_time(change.begin),
        ends_at=_time(change.end),
        ts_event=_time(change.ts),
        payload=bytes(raw).decode(),
    )


def _time(text: str | None) -> int | None:
    """Return milliseconds as nanoseconds; none are sent as an empty text."""
    return decimal_ns(text, MILLISECOND_NS) if text else None


def _notice(frame: _Frame, payload: bytes) -> Said:
    """Return a notice as a message of the venue; one tells that it will leave."""
    is_upgrade = frame.code == _UPGRADE
    said: Said = [
        StatusEvent(
            kind="upgrade" if is_upgrade else "notice",
            state=frame.code,
            title=frame.msg,
            payload=payload.decode(),
        )
    ]
    if is_upgrade:
        said.append(Leaving(reason=f"{_UPGRADE}: {frame.msg or 'service upgrade'}"))
    return said


def _come_back(why: str, seconds: float) -> Quit:
    return Quit(verdict=Verdict(action="retry", why=why, wait_seconds=seconds))


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection: the only one has one."""
    group = tuple(dict.fromkeys(chains))
    return [group] if group else []


SOURCE: Final = Source(
    name="okx_status",
    verdict=told_of_maintenance,
    doc="OKX v5, status of the venue's systems",
    ws_url="wss://{host}:8443/ws/v5/public",
    rest_url="",
    streams=(
        StreamKind(
            name=_CHANNEL,
            doc="Maintenance and every change of it; the latest change first.",
            has_markets=False,
        ),
    ),
    options=(
        Option(
            name="host",
            doc="The venue, that of the USA and Australia, that of Europe; pap is demo.",
            choices=_HOSTS,
            default="ws.okx.com",
        ),
    ),
    ping_seconds=15.0,  # half of what the venue allows
    silence_seconds=35.0,
    requests_per_second=1.0,  # 480 an hour are allowed
    connects_per_second=2.0,  # 3 are allowed
    plan=plan,
    dialogue=Dialogue,
    book_rule=lambda _stream: None,
)
