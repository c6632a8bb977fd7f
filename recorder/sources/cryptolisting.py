"""cryptolisting.ws: announcements of exchanges, as the service detects them.

One stream, `status`, about no market in particular. Nothing is asked for: a
connection brings what its key and the option ``cex`` allow. Frames are binary
with JSON inside; text frames are read as well.

Three generations of documents exist (A, B, C below), and they contradict each
other; what any of them describes is taken.

Messages
--------

==================  =========================================================
type                becomes
==================  =========================================================
welcome             the acceptance, and a row
heartbeat           a sign of life, no row; its ``timestampNs`` (C) is the
                    service's clock
announcement        a row: publisher, title, ``ticker`` as ``markets`` (one
                    text with commas, or a list), ``listingType`` as
                    ``state``, whatever it is
test_announcement   the same under a kind of its own: it is never real
error               a row; its ``code`` is the ``state``
changelog,          a row of the kind ``notice``; of these only the names are
renewal_notice      known
any other           kept verbatim in ``frames``
==================  =========================================================

``payload`` holds the whole message, so no field of it is lost. ``ts_event`` is
``detectedTimestampUs``: every generation has it, it is the service's own
clock, and it stays the same when an announcement is dispatched once more
(``dispatchTimestampUs`` does not; ``publishTimestampUs`` is the exchange's
clock, and C does not send it). Tickers name coins, not markets of some feed,
so ``market`` is empty.

An announcement that comes again, with nothing but another time of dispatch,
is one event. None has an id, and none is documented to be repeated after a
reconnect: what was announced meanwhile is missing, and the gap says so.

Acceptance
----------

Whoever has a bad key does not get past the handshake. So the stream is
accepted by the welcome, or by the first heartbeat or announcement where that
comes before it or no welcome comes at all.

Life
----

The service sends PING and expects no message, so there is no ping of our own.
Heartbeats come every 30 s: 35 s without one are worth a warning, 65 s are a
dead connection (B and C advise against less than 60 s).

What is done about refusals and ends, `_cryptolisting_endings` says.

Source: protocol facts, section 5 (the service's documents of three dates).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from recorder.errors import WireError
from recorder.model import Chain, StatusEvent
from recorder.source import (
    NO_SECRETS,
    Heartbeat,
    Option,
    Request,
    Secret,
    Secrets,
    Source,
    StreamKind,
    Subscribed,
    Unrecognized,
)
from recorder.sources._cryptolisting_endings import BACKOFF, KEY_VARIABLE, verdict
from recorder.sources._json import (
    DECODE_ERRORS,
    check_utf8,
    decoded,
    keys,
    unknown_paths,
    value_of,
)


KEY_HEADER: Final = "X-API-Key"

_US_NS: Final = 1_000
_TIME_MAX_US: Final = (1 << 63) // _US_NS

_NEWS_KEYS: Final = keys(
    "type title ticker publisher listingType publishTimestampUs detectedTimestampUs "
    "dispatchTimestampUs abnormalDetectionLatency"
)
_KEYS: Final = {
    "welcome": keys(
        "type tier maxConnections maxDistinctIps maxConnectionsPerIp "
        "absoluteMaxConnections allowedCex expiresInSecs"
    ),
    "heartbeat": keys("type timestampNs timeUtc"),
    "announcement": _NEWS_KEYS,
    "test_announcement": _NEWS_KEYS,
    "error": keys("type code retryAfterSecs"),
}
"""What is documented of each type."""

_NEWS_TYPES: Final = frozenset({"announcement", "test_announcement"})
_NOTICE_TYPES: Final = frozenset({"changelog", "renewal_notice"})


class _Head(msgspec.Struct):
    """What is needed of any message; of what is not text, whatever is sent will do."""

    type: str
    title: Any = None
    code: Any = None
    timestampNs: Any = None  # noqa: N815 - as it is sent


class _News(msgspec.Struct, rename="camel"):
    """An announcement; what no column holds is left in the payload."""

    title: str | None = None
    ticker: str | list[str] | None = None
    publisher: str | None = None
    listing_type: str | None = None
    detected_timestamp_us: int | None = None


_HEAD: Final = msgspec.json.Decoder(_Head)
_NEWS: Final = msgspec.json.Decoder(_News)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any], float_hook=str)  # every digit
_SORTED: Final = msgspec.json.Encoder(order="sorted")

Said = list[StatusEvent | Subscribed | Heartbeat | Unrecognized]


class Dialogue:
    """The conversation over one connection: the service talks, we listen.

    Args:
        chains: The one stream.
        _options: They are part of the address.
        _secrets: The key is part of the handshake.
    """

    def __init__(
        self,
        chains: Sequence[Chain],
        _options: Mapping[str, str],
        _secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._awaited = tuple(chains)

    def open(self, now_ns: int) -> tuple[Request, ...]:
        """Return nothing: the service expects no message."""
        del now_ns
        return ()

    def ping(self, now_ns: int) -> None:
        """Return None: there is no ping, and messages are counted."""
        del now_ns

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> tuple[Request, ...]:
        """Return nothing: a connection begins with what it has."""
        del chains, now_ns
        return ()

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> tuple[Request, ...]:
        """Return nothing: nothing is asked for."""
        del chains, now_ns
        return ()

    def receive(self, payload: bytes, now_ns: int) -> Said:
        """Return what a message says.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds; not needed.

        Raises:
            WireError: If it is no object with a type, or if a field that has
                a column does not fit it.
        """
        del now_ns
        check_utf8(payload)
        text = payload.decode()
        head = decoded(_HEAD, payload)
        match head.type:
            case kind if kind in _NEWS_TYPES:
                event = _news(kind, decoded(_NEWS, payload), payload)
                return [*self._accepted(), event]
            case "heartbeat":
                return [*self._accepted(), Heartbeat(ts_event=_clock(head))]
            case "welcome":
                return [*self._accepted(), StatusEvent(kind="welcome", payload=text)]
            case "error":
                state = _text(head.code)
                return [StatusEvent(kind="error", state=state, payload=text)]
            case name if name in _NOTICE_TYPES:
                title = _text(head.title)
                return [
                    StatusEvent(kind="notice", state=name, title=title, payload=text)
                ]
            case name:
                return [Unrecognized(error=f"not known: type {name!r}")]

    def due(self, now_ns: int) -> tuple[Request, ...]:
        """Return nothing: the service expects no message."""
        del now_ns
        return ()

    def unknown_keys(self, payload: bytes) -> tuple[str, ...]:
        """Return keys of a message that no document has for its type.

        Raises:
            WireError: If it is not valid JSON.
        """
        kind = value_of(payload, "type")
        known = _KEYS.get(kind) if isinstance(kind, str) else None
        return () if known is None else unknown_paths(payload, known)

    def _accepted(self) -> list[Subscribed]:
        """Return the acceptance, once."""
        chains, self._awaited = self._awaited, ()
        return [Subscribed(chains=chains)] if chains else []


def _news(kind: str, news: _News, payload: bytes) -> StatusEvent:
    detected_us = news.detected_timestamp_us
    if detected_us is not None and not 0 <= detected_us < _TIME_MAX_US:
        raise WireError(f"does not fit: detectedTimestampUs {detected_us} is no time")
    return StatusEvent(
        kind=kind,
        payload=payload.decode(),
        ts_event=detected_us * _US_NS if detected_us else None,
        state=news.listing_type,
        title=news.title,
        publisher=news.publisher,
        markets=_tickers(news.ticker),
    )


def _tickers(ticker: str | list[str] | None) -> tuple[str, ...] | None:
    """Return what an announcement is about; None if it does not say."""
    names = ticker.split(",") if isinstance(ticker, str) else ticker or ()
    return tuple(name.strip() for name in names if name.strip()) or None


def status_identity(payload: str) -> str | None:
    """Return an announcement without the time at which it was sent.

    Of one without the time of its detection all counts, as of other messages.
    """
    try:
        said = _OBJECT.decode(payload)
    except DECODE_ERRORS:
        return None
    if str(said.get("type")) not in _NEWS_TYPES or not said.get("detectedTimestampUs"):
        return None
    said.pop("dispatchTimestampUs", None)
    return _SORTED.encode(said).decode()


def _clock(head: _Head) -> int | None:
    """Return the service's clock; a heartbeat that tells none is one all the same."""
    now_ns = head.timestampNs
    return now_ns if isinstance(now_ns, int) and 0 < now_ns < 1 << 63 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


# The feed ------------------------------------------------------------------


def ws_query(options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return what the address asks for: nothing, or some exchanges."""
    names = [name.strip().lower() for name in options.get("cex", "").split(",")]
    wanted = ",".join(dict.fromkeys(name for name in names if name))
    return (("cex", wanted),) if wanted else ()


def headers(_options: Mapping[str, str], secrets: Secrets) -> dict[str, str]:
    """Return the header of the handshake that holds the key."""
    return {KEY_HEADER: secrets["key"]} if "key" in secrets else {}


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection: there is but one."""
    return [tuple(dict.fromkeys(chains))] if chains else []


SOURCE: Final = Source(
    name="cryptolisting",
    doc="cryptolisting.ws, announcements of many exchanges",
    ws_url="wss://{host}/",
    rest_url="",
    streams=(
        StreamKind(
            name="status",
            doc="Listings, delistings and other announcements, as they are detected.",
            has_markets=False,
            needs=("key",),
        ),
    ),
    options=(
        Option(
            name="cex",
            doc="Exchanges to hear of, as in binance,upbit; all that the key allows "
            "if left out.",
        ),
        Option(
            name="host",
            doc="Where to listen: in Tokyo, or in Seoul to upbit alone.",
            choices=("cryptolisting.ws", "kr.cryptolisting.ws"),
            default="cryptolisting.ws",
        ),
    ),
    secrets=(
        Secret(
            name="key",
            env=KEY_VARIABLE,
            doc="The key of the service: dsk_ and 64 hex digits.",
        ),
    ),
    ws_query=ws_query,
    headers=headers,
    status_identity=status_identity,
    verdict=verdict,
    backoff=BACKOFF,
    silence_seconds=65.0,
    quiet_seconds=35.0,
    connects_per_second=0.15,  # 10 a minute are allowed, each 5 s after the last
    plan=plan,
    is_asked=False,
    dialogue=Dialogue,
    book_rule=lambda _stream: None,
)
