"""What a feed is: one value that says everything generic code must know."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from recorder.model import Chain, DepthUpdate, RawLevels
from recorder.source.dialogue import Dialogue
from recorder.source.witness import Witness


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """A setting that one venue alone knows, given as ``-O KEY=VALUE``.

    Attributes:
        name: The key.
        doc: One sentence for ``--help``.
        choices: Legal values; empty for free text.
        default: Used when the option is not given.
    """

    name: str
    doc: str
    choices: tuple[str, ...] = ()
    default: str | None = None


class StreamKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of stream that a feed offers.

    Attributes:
        name: The table it fills: ``trades``, ``depth``, ...
        doc: One sentence for ``--help``.
        parameters: Legal texts after the colon; empty if it takes none.
        default: Parameter used when none is given; None if one is required.
        aliases: Other spellings, as pairs (as typed, canonical parameter).
    """

    name: str
    doc: str
    parameters: tuple[str, ...] = ()
    default: str | None = None
    aliases: tuple[tuple[str, str], ...] = ()


class BookRule(msgspec.Struct, frozen=True, kw_only=True):
    """How the books of a depth stream are kept.

    Attributes:
        has_ids: Whether updates carry first and last ids.
        snapshot: ``rest``: ask by HTTP. ``in_band``: it comes on the socket.
        depth_limit: Levels a side that the stream maintains.
    """

    has_ids: bool
    snapshot: str
    depth_limit: int


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP GET: a path below the feed's REST address, and its query."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class SnapshotRule(msgspec.Struct, frozen=True, kw_only=True):
    """How book snapshots are had by HTTP.

    Attributes:
        request: What to ask for, for a chain.
        decode: The answer's body as a snapshot with ``origin`` ``rest``. Its
            ``ts_event`` is the venue's clock when the answer was generated,
            None where it does not tell; raises `WireError`.
    """

    request: Callable[[Chain], HttpRequest]
    decode: Callable[[Chain, bytes], DepthUpdate[RawLevels]]


class MarketInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a venue's list of markets."""

    market: str
    status: str | None = None
    base: str | None = None
    quote: str | None = None


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    """How a venue's markets are listed by HTTP."""

    request: Callable[[Mapping[str, str]], HttpRequest]
    decode: Callable[[bytes], tuple[MarketInfo, ...]]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A feed, as the rest of the recorder sees it.

    Attributes:
        name: As typed by people and as stored: the module's name.
        doc: One sentence for ``--help``.
        ws_url: Where its WebSocket is.
        rest_url: Where its REST calls are, without a final slash.
        streams: What it offers.
        options: What ``-O`` may set.
        ping_seconds: How often to send a ping of our own.
        silence_seconds: Without any frame for so long, a socket is dead.
        requests_per_second: How fast it may be asked over one connection.
        rest_per_second: How fast it may be asked over HTTP.
        reset_header: HTTP header of a 429 that says, in unix seconds, from
            when on it answers again; None if it sends none.
        history_trades: Trades of the past that it pushes on subscribing.
        witnesses: What its streams tell of each other.
        plan: Which chains share a connection.
        dialogue: Makes the conversation for one connection's chains.
        book_rule: The rule of a canonical stream; None if it has no book.
        snapshot: How snapshots are had by HTTP; None if they are not.
        market_list: How markets are listed; None if they cannot be.
    """

    name: str
    doc: str
    ws_url: str
    rest_url: str
    streams: tuple[StreamKind, ...]
    options: tuple[Option, ...] = ()
    ping_seconds: float = 15.0
    silence_seconds: float = 45.0
    requests_per_second: float = 50.0
    rest_per_second: float = 10.0
    reset_header: str | None = None
    history_trades: int = 0
    witnesses: tuple[Witness, ...] = ()
    plan: Callable[[Sequence[Chain]], list[tuple[Chain, ...]]]
    dialogue: Callable[[Sequence[Chain], Mapping[str, str]], Dialogue]
    book_rule: Callable[[str], BookRule | None]
    snapshot: SnapshotRule | None = None
    market_list: MarketList | None = None
