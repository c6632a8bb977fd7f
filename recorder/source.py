"""What a venue's feed must supply, as data and pure functions.

A feed is one module in `recorder/sources` that defines ``SOURCE``, a value
of the class `Source` below. Generic code reads it and never names a venue.

A feed talks through a `Dialogue`: one object for each connection, told what
was received, asked what to send. It opens no socket, awaits nothing and asks
no clock; times are handed to it.

What a feed owes
----------------

* Every frame becomes events, replies, or an error: `WireError` if it does
  not fit its shape, an `Unrecognized` if it is of a kind not known.
* Numbers stay text, times become nanoseconds with every digit that was sent.
* Every chain that was asked for is answered for: `Subscribed` or `Refused`.
* One refused market does not take others with it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

import msgspec

from recorder.errors import ConfigError, WireError
from recorder.model import Chain, DepthUpdate, RawLevels, WireEvent


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


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A frame to send, and the chains it asks for (none for a ping)."""

    payload: bytes
    chains: tuple[Chain, ...] = ()


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP GET: a path below the feed's REST address, and its query."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The venue accepted these chains.

    Attributes:
        chains: The chains.
        ts_event: Venue's clock at the acceptance, nanoseconds, where sent.
    """

    chains: tuple[Chain, ...]
    ts_event: int | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The venue refused these chains, for good; ``reason`` in its words."""

    chains: tuple[Chain, ...]
    reason: str


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """The dialogue wants these requests sent now, in this order."""

    requests: tuple[Request, ...]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A sign of life without data; ``ts_event`` is the venue's clock."""

    ts_event: int | None = None


class Unrecognized(msgspec.Struct, frozen=True, kw_only=True):
    """A well-formed frame of a kind not known; it is kept in ``frames``."""

    error: str


Reply: TypeAlias = Subscribed | Refused | Send | Heartbeat | Unrecognized


class Dialogue(Protocol):
    """The conversation over one connection."""

    def open(self, now_ns: int) -> Sequence[Request]:
        """Return what to send right after connecting, in order."""
        ...  # pragma: no cover - protocol

    def ping(self, now_ns: int) -> bytes:
        """Return a frame that makes the venue answer."""
        ...  # pragma: no cover - protocol

    def receive(self, payload: bytes, now_ns: int) -> Sequence[WireEvent | Reply]:
        """Return what a frame says, in the order of the frame.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If the frame cannot be decoded.
        """
        ...  # pragma: no cover - protocol

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> Sequence[Request]:
        """Return what to send to have these chains started afresh."""
        ...  # pragma: no cover - protocol

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> Sequence[Request]:
        """Return what to send to ask for accepted chains once more.

        What runs already must go on without a break, and come only once.
        """
        ...  # pragma: no cover - protocol

    def unknown_keys(self, payload: bytes) -> Sequence[str]:
        """Return keys of a frame that this feed does not know, as paths.

        Slow; meant for one frame in a thousand.

        Raises:
            WireError: If the frame is not valid JSON.
        """
        ...  # pragma: no cover - protocol


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


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one stream tell of other streams of their market.

    A row is a sign if it differs from the row before it in a field of
    `changed`, or is greater in one of `grown`, while both have the same in
    `within`. Without such fields each live row is a sign. A stream that must
    have pushed something for each sign, and pushes nothing, is silent.

    Attributes:
        by: Table whose rows tell.
        of: Tables whose streams must have pushed something.
        changed: Fields any change of which tells.
        grown: Decimal fields of which only growth tells: the volume of the
            last day also falls, as old trades leave it.
        within: Fields that must be the same, or rows cannot be compared.
        signs: How many prove it: few where the venue cannot but push, more
            where it may now and then have no reason to.
    """

    by: str
    of: tuple[str, ...]
    changed: tuple[str, ...] = ()
    grown: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    signs: int

    @property
    def has_fields(self) -> bool:
        """Whether two rows are compared."""
        return bool(self.changed or self.grown)

    def is_sign(self, before: WireEvent | None, after: WireEvent) -> bool:
        """Return whether a row is a sign.

        Args:
            before: The row before it of the same stream and market, if any.
            after: The row.
        """
        if not self.has_fields:
            return True
        if before is None or any(
            getattr(before, name) != getattr(after, name) for name in self.within
        ):
            return False
        return any(
            getattr(before, name) != getattr(after, name) for name in self.changed
        ) or any(
            _is_less(getattr(before, name), getattr(after, name)) for name in self.grown
        )


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


_SHOWN: Final = 16
"""How many parameters an error message lists."""


def _is_less(before: str | None, after: str | None) -> bool:
    """Return whether both texts are numbers and the second is greater."""
    try:
        return float(before or "nan") < float(after or "nan")
    except ValueError:
        # Whether a number can be stored is for others to say.
        return False


def table_of(stream: str) -> str:
    """Return the table that a canonical stream fills: its name."""
    return stream.partition(":")[0]


def canonical_stream(source: Source, text: str) -> str:
    """Return ``NAME[:PARAMETER]`` in its canonical form.

    Args:
        source: The feed that is to offer it.
        text: As typed: ``depth``, ``klines:1m``.

    Returns:
        The name with its parameter, the default filled in.

    Raises:
        ConfigError: If the feed has no such stream or parameter; the
            message names what it has.
    """
    name, colon, parameter = text.partition(":")
    kinds = {kind.name: kind for kind in source.streams}
    kind = kinds.get(name)
    if kind is None:
        raise ConfigError(
            f"{source.name} has no stream {name!r}; it has {', '.join(kinds)}"
        )
    if not kind.parameters:
        if colon:
            raise ConfigError(f"{source.name} stream {name!r} takes no parameter")
        return name
    if not colon:
        if kind.default is None:
            raise ConfigError(
                f"{source.name} stream {name!r} needs a parameter: "
                f"one of {_several([f'{name}:{p}' for p in kind.parameters])}"
            )
        parameter = kind.default
    parameter = dict(kind.aliases).get(parameter, parameter)
    if parameter not in kind.parameters:
        raise ConfigError(
            f"{source.name} stream {name!r} has no parameter {parameter!r}; "
            f"legal are {_several(kind.parameters)}"
        )
    return f"{name}:{parameter}"


def _several(parameters: Sequence[str]) -> str:
    """Return parameters as a list that can be read: of many, the shortest."""
    if len(parameters) <= _SHOWN:
        return ", ".join(parameters)
    shown = sorted(parameters, key=len)[:_SHOWN]
    more = len(parameters) - _SHOWN
    return f"{', '.join(shown)} and {more} more; `recorder capture --help` lists all"


def resolve_options(source: Source, given: Mapping[str, str]) -> dict[str, str]:
    """Return all of a feed's options, defaults filled in.

    Raises:
        ConfigError: If a key or a value is not legal; the message names
            what is.
    """
    known = {option.name: option for option in source.options}
    for key, value in given.items():
        option = known.get(key)
        if option is None:
            names = ", ".join(known) or "none"
            raise ConfigError(f"{source.name} has no option {key!r}; it has {names}")
        if option.choices and value not in option.choices:
            raise ConfigError(
                f"{source.name} option {key!r} cannot be {value!r}; "
                f"choose from {', '.join(option.choices)}"
            )
    defaults = {
        name: option.default
        for name, option in known.items()
        if option.default is not None
    }
    return {**defaults, **given}


_MAX_NS: Final = 2**63 - 1
_TEXT_LIMIT: Final = 64
_UNIT_DIGITS: Final = {10**digits: digits for digits in range(10)}
_SCIENTIFIC = re.compile(r"([0-9]+)(?:\.([0-9]+))?[eE]([+-]?[0-9]{1,3})")


def decimal_ns(text: str, unit_ns: int) -> int:
    """Return a decimal text of some time unit as whole nanoseconds.

    Digits finer than a nanosecond are cut off; no other digit is lost.

    Args:
        text: ``"1619093543708.2642"``; a JSON number or the inside of a
            JSON string.
        unit_ns: Nanoseconds in the unit: a power of ten, 1 to 10**9.

    Raises:
        WireError: If the text is not a plain non-negative decimal number, or
            names a time that 64 bits of nanoseconds cannot hold.
    """
    digits = _UNIT_DIGITS[unit_ns]
    whole, _, fraction = text.partition(".")
    if len(text) > _TEXT_LIMIT or not text.isascii():
        ns = _MAX_NS + 1
    elif whole.isdigit() and (not fraction or fraction.isdigit()):
        ns = int(whole) * unit_ns + int(fraction[:digits].ljust(digits, "0") or 0)
    else:
        ns = _scientific_ns(text, digits)
    if ns > _MAX_NS:
        raise WireError(f"not a time: {text[:_TEXT_LIMIT]!r}")
    return ns


def _scientific_ns(text: str, digits: int) -> int:
    match = _SCIENTIFIC.fullmatch(text)
    if match is None:
        return _MAX_NS + 1
    whole, fraction, exponent = match.groups(default="")
    shift = int(exponent) - len(fraction) + digits
    number = int(whole + fraction)
    scale: int = 10 ** abs(shift)
    return number * scale if shift >= 0 else number // scale
