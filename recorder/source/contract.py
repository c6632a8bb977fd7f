"""What a feed is: one value that says everything generic code must know."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from recorder.model import Chain, DepthUpdate, Market, RawLevels
from recorder.source.dialogue import Dialogue
from recorder.source.history import History
from recorder.source.http import HttpRequest
from recorder.source.plain import PlainDepth
from recorder.source.queries import Query
from recorder.source.reactions import Backoff, Ending, Verdict
from recorder.source.secrets import Secret, Secrets
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
        has_markets: False for a stream that is about no market in particular.
        needs: Names of the secrets without which it cannot be had.
        has_bursts: Whether its rows are rare and come several at once, so that
            those which follow a question do not tell of the time before it.
    """

    name: str
    doc: str
    parameters: tuple[str, ...] = ()
    default: str | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    has_markets: bool = True
    needs: tuple[str, ...] = ()
    has_bursts: bool = False


class BookRule(msgspec.Struct, frozen=True, kw_only=True):
    """How the books of a depth stream are kept.

    Attributes:
        has_ids: Whether updates carry first and last ids.
        snapshot: ``rest``: it is had by HTTP. ``in_band``: it comes on the
            socket, first of all; until then the stream is not believed.
            ``each``: every push is one, and a lost one leaves no trace; a
            venue that tells changes in between tells no first id with them.
        depth_limit: Levels a side that the stream maintains.
    """

    has_ids: bool
    snapshot: str
    depth_limit: int


class SnapshotRule(msgspec.Struct, frozen=True, kw_only=True):
    """How book snapshots are had by HTTP.

    Attributes:
        request: What to ask for, for a chain, with the feed's options.
        decode: The answer's body as a snapshot with ``origin`` ``rest``. Its
            ``ts_event`` is the venue's clock when the answer was generated,
            None where it does not tell; raises `WireError`.
    """

    request: Callable[[Chain, Mapping[str, str]], HttpRequest]
    decode: Callable[[Chain, bytes], DepthUpdate[RawLevels]]


class MarketList(msgspec.Struct, frozen=True, kw_only=True):
    """How a venue's markets are listed by HTTP.

    Attributes:
        request: What to ask for, with the feed's options.
        decode: The answer's body as markets; raises `WireError`.
        is_traded: Whether a market can be recorded now, by its status.
    """

    request: Callable[[Mapping[str, str]], HttpRequest]
    decode: Callable[[bytes], tuple[Market[str], ...]]
    is_traded: Callable[[Market[str]], bool]


def _nothing(_options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return ()


def _no_headers(_options: Mapping[str, str], _secrets: Secrets) -> Mapping[str, str]:
    return {}


def _all_of_it(_payload: str) -> str | None:
    return None


def _never_plain(_chains: Sequence[Chain]) -> PlainDepth | None:
    return None


def _no_opinion(_ending: Ending) -> Verdict | None:
    return None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A feed, as the rest of the recorder sees it.

    Attributes:
        name: As typed by people and as stored: the module's name.
        doc: One sentence for ``--help``.
        ws_url: Where its WebSocket is; ``{name}`` stands for an option.
        rest_url: Where its REST calls are, without a final slash; empty if it
            has none. ``{name}`` stands for an option.
        streams: What it offers.
        options: What ``-O`` may set.
        secrets: Keys that it can use.
        ws_query: What is added to the WebSocket's address, by the options.
        headers: HTTP headers of the WebSocket's handshake.
        verdict: What it wants done about a refusal or an end; None where the
            general rule is right.
        backoff: How pauses grow before it is connected to again.
        ping_seconds: How often to send a ping of our own.
        silence_seconds: Without any frame for so long, a socket is dead.
        quiet_seconds: Without any frame for so long, a word is said; None for
            none.
        requests_per_second: How fast it may be asked over one connection.
        rest_per_second: How fast it may be asked over HTTP.
        reset_header: HTTP header of a 429 that says, in unix seconds, from
            when on it answers again; None if it sends none.
        history_trades: Trades of the past that it pushes on subscribing.
        status_identity: What another telling of a message of the venue shares
            with it, by its payload; None where that is all of it. Never raises.
        witnesses: What its streams tell of each other.
        plan: Which chains share a connection.
        chains_per_connection: How many at most.
        connects_per_second: How fast connections may be opened, evenly apart;
            for all of a process together.
        connections_max: How many the venue allows at once from one address;
            None where it states no number.
        is_asked: False if a connection brings its chains without a request:
            then an acceptance comes by itself, and nothing can be asked again.
        dialogue: Makes the conversation for one connection's chains, with
            the feed's options and secrets.
        book_rule: The rule of a canonical stream; None if it has no book.
        snapshot: How snapshots are had by HTTP; None if they are not.
        market_list: How markets are listed; None if they cannot be.
        queries: What it answers when it is asked over its WebSocket.
        history: What it tells afterwards, one for each table.
        plain: How the changes of order books look that a connection with some
            chains brings; None if there is no such form.
    """

    name: str
    doc: str
    ws_url: str
    rest_url: str
    streams: tuple[StreamKind, ...]
    options: tuple[Option, ...] = ()
    secrets: tuple[Secret, ...] = ()
    ws_query: Callable[[Mapping[str, str]], tuple[tuple[str, str], ...]] = _nothing
    headers: Callable[[Mapping[str, str], Secrets], Mapping[str, str]] = _no_headers
    verdict: Callable[[Ending], Verdict | None] = _no_opinion
    backoff: Backoff = Backoff()
    ping_seconds: float = 15.0
    silence_seconds: float = 45.0
    quiet_seconds: float | None = None
    requests_per_second: float = 50.0
    rest_per_second: float = 10.0
    reset_header: str | None = None
    history_trades: int = 0
    status_identity: Callable[[str], str | None] = _all_of_it
    witnesses: tuple[Witness, ...] = ()
    plan: Callable[[Sequence[Chain]], list[tuple[Chain, ...]]]
    chains_per_connection: int = 1_000
    connects_per_second: float = 10.0
    connections_max: int | None = None
    is_asked: bool = True
    dialogue: Callable[[Sequence[Chain], Mapping[str, str], Secrets], Dialogue]
    book_rule: Callable[[str], BookRule | None]
    snapshot: SnapshotRule | None = None
    market_list: MarketList | None = None
    queries: tuple[Query, ...] = ()
    history: tuple[History, ...] = ()
    plain: Callable[[Sequence[Chain]], PlainDepth | None] = _never_plain
