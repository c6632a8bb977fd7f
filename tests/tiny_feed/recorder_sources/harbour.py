"""Harbour, an invented venue: lines of text, their fields between tabs.

======  ==============================================  ======================
word    fields                                          means
======  ==============================================  ======================
WATCH   stream, market                                  we ask for a stream
LEAVE   stream, market                                  we end it
HELLO                                                   we ask: are you there?
HELLO   time                                            the venue is there
OK      stream, market, time                            a stream is ours
NO      stream, market, reason                          it is refused
TRADE   market, time, id, side, price, amount           one trade
BOOK    market, time, id, bids, asks                    the whole book
MOVE    market, time, first id, last id, bids, asks     levels that changed
======  ==============================================  ======================

Streams are ``TRADES`` and ``BOOKS``; times are decimal seconds; levels are
``4.05*12,4.04*3``, price and amount, and the amount 0 removes. A book comes
around the ``OK`` to its request, then moves, each from where the last ended.
What is watched already is acknowledged and goes on.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from recorder.errors import WireError
from recorder.model import Chain, DepthUpdate, Side, Trade
from recorder.source import (
    BookRule,
    Heartbeat,
    Refused,
    Request,
    Said,
    Secrets,
    Source,
    StreamKind,
    Subscribed,
    Unrecognized,
    Witness,
    decimal_ns,
)


NAMES: Final = {"trades": "TRADES", "depth": "BOOKS"}
WORDS: Final = ("HELLO", "OK", "NO", "TRADE", "BOOK", "MOVE")
SIDES: Final[Mapping[str, Side]] = {"buy": "buy", "sell": "sell"}
BOOKS: Final = BookRule(has_ids=True, snapshot="in_band", depth_limit=10)

ID: Final = re.compile(r"\d{1,18}", re.ASCII)
NUMBER: Final = re.compile(r"\d+(\.\d+)?", re.ASCII)


def ask(word: str, chain: Chain) -> Request:
    """Return a request about a chain; of them, only WATCH is answered."""
    line = f"{word}\t{NAMES[chain.stream]}\t{chain.market}"
    return Request(payload=line.encode(), chains=(chain,) if word == "WATCH" else ())


class Dialogue:
    """The conversation over one connection."""

    def __init__(
        self, chains: Sequence[Chain], _options: Mapping[str, str], _secrets: Secrets
    ) -> None:
        self._chains = {(NAMES[chain.stream], chain.market): chain for chain in chains}

    def open(self, _now_ns: int) -> Sequence[Request]:
        """Return what to send right after connecting, in order."""
        return [ask("WATCH", chain) for chain in self._chains.values()]

    def ping(self, _now_ns: int) -> bytes:
        """Return a frame that makes the venue answer."""
        return b"HELLO"

    def resubscribe(self, chains: Sequence[Chain], _now_ns: int) -> Sequence[Request]:
        """Return what to send to have these chains started afresh."""
        return [ask(word, chain) for chain in chains for word in ("LEAVE", "WATCH")]

    def ask_again(self, chains: Sequence[Chain], _now_ns: int) -> Sequence[Request]:
        """Return what to send to ask for accepted chains once more."""
        return [ask("WATCH", chain) for chain in chains]

    def due(self, _now_ns: int) -> Sequence[Request]:
        """Return what to send because its time has come: nothing ever waits."""
        return ()

    def unknown_keys(self, _payload: bytes) -> Sequence[str]:
        """Return nothing: fields have no names here."""
        return ()

    def receive(self, payload: bytes, _now_ns: int) -> Said:
        """Return what a line says; raises `WireError`."""
        try:
            word, *fields = payload.decode().split("\t")
        except UnicodeDecodeError as error:
            raise WireError(f"not UTF-8: {error}") from error
        if word.isalpha() and word not in WORDS:
            return [Unrecognized(error=f"not known: {word[:20]}")]
        return self._said(word, fields)

    def _said(self, word: str, fields: list[str]) -> Said:
        match word, fields:
            case "HELLO", [time]:
                return [Heartbeat(ts_event=moment(time))]
            case "OK", [name, market, time]:
                chain = self._chain(name, market)
                return [Subscribed(chains=(chain,), ts_event=moment(time))]
            case "NO", [name, market, reason]:
                return [Refused(chains=(self._chain(name, market),), reason=reason)]
            case "TRADE", [market, time, id_, side, price, amount] if side in SIDES:
                return [
                    Trade(
                        market=self._chain("TRADES", market).market,
                        ts_event=moment(time),
                        trade_id=number(id_),
                        side=SIDES[side],
                        price=decimal(price),
                        amount=decimal(amount),
                    )
                ]
            case "BOOK", [market, time, last, bids, asks]:
                return [self._depth(market, time, None, last, bids, asks)]
            case "MOVE", [market, time, first, last, bids, asks]:
                return [self._depth(market, time, first, last, bids, asks)]
            case _:
                raise WireError(f"does not fit: {word[:20]!r}, {len(fields)} fields")

    def _depth(
        self, market: str, time: str, first: str | None, last: str, bids: str, asks: str
    ) -> DepthUpdate[bytes]:
        chain = self._chain("BOOKS", market)
        return DepthUpdate(
            market=chain.market,
            stream=chain.stream,
            ts_event=moment(time),
            is_snapshot=first is None,
            first_update_id=None if first is None else number(first),
            last_update_id=number(last),
            bids=levels(bids),
            asks=levels(asks),
            depth_limit=BOOKS.depth_limit,
        )

    def _chain(self, name: str, market: str) -> Chain:
        chain = self._chains.get((name, market))
        if chain is None:
            raise WireError(f"not asked for: {name} of {market!r}")
        return chain


def moment(text: str) -> int:
    """Return decimal seconds as nanoseconds; raises `WireError`."""
    return decimal_ns(text, 10**9)


def number(text: str) -> int:
    """Return an id; raises `WireError`."""
    if not ID.fullmatch(text):
        raise WireError(f"not an id: {text[:20]!r}")
    return int(text)


def decimal(text: str) -> str:
    """Return a number as it was sent; raises `WireError`."""
    if not NUMBER.fullmatch(text):
        raise WireError(f"not a number: {text[:20]!r}")
    return text


def levels(text: str) -> bytes:
    """Return levels as the JSON that the store reads; raises `WireError`."""
    pairs = [level.partition("*") for level in text.split(",")] if text else []
    shown = [f'["{decimal(price)}","{decimal(amount)}"]' for price, _, amount in pairs]
    return f"[{','.join(shown)}]".encode()


def book_rule(stream: str) -> BookRule | None:
    """Return how the books of a stream are kept; trades have none."""
    return BOOKS if stream == "depth" else None


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return all chains as those of one connection."""
    return [tuple(dict.fromkeys(chains))] if chains else []


SOURCE: Final = Source(
    name="harbour",
    doc="Harbour, an invented venue",
    ws_url="wss://harbour.example/lines",
    rest_url="",
    streams=(
        StreamKind(name="trades", doc="Every trade."),
        StreamKind(name="depth", doc="Order book: changes with their snapshot."),
    ),
    # Whoever trades takes something out of the book.
    witnesses=(Witness(by="trades", of=("depth",), signs=2),),
    plan=plan,
    dialogue=Dialogue,
    book_rule=book_rule,
)
