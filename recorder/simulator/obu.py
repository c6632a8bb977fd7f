"""The order book streams that bring their snapshot along: ``ob.BTC_USDT.400``.

They are the same on the spot and the futures socket but for names and frames
around them, which `ObuFamily` says. Rules, from the venue's documents and
from what was seen live:

- The first frame is the whole window, flagged full, without a first id; it
  may come before the request is answered. Then come changes ``U..u``, of
  which each begins where the last one ended. A full frame at any time
  replaces the book.
- A change lists levels in any order and names what left the window with the
  amount ``"0"``. Where nothing in the window changed, only ids are sent.
- A connection may ask for a stream once; asked for again, the request is
  refused and the stream goes on.
- Whatever has a name is accepted. Of a market or a number of levels that is
  not served nothing comes.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from recorder.simulator.book import ASK, BID
from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.engine import Market
from recorder.simulator.envelope_v4 import Refusal
from recorder.simulator.numbers import MS_NS
from recorder.simulator.window import Levels, TopLevels


TextLevels = list[tuple[str, str]]
Answer = Callable[[Refusal | None], None]
"""Sends the answer to a request: accepted, or refused."""


class ObuFamily(msgspec.Struct, frozen=True, kw_only=True):
    """In what the sockets that have these streams differ.

    Attributes:
        levels: By the end of a stream's name: levels a side, and nanoseconds
            between frames.
        encode: Makes a frame of a result, sent at so many nanoseconds.
        texts: Makes levels, best first, of (ticks, lots): price and amount.
    """

    levels: Mapping[str, tuple[int, int]]
    encode: Callable[[dict[str, object], int], bytes]
    texts: Callable[[Market, Levels], TextLevels] = Market.level_texts


class ObuName(NamedTuple):
    """The parts of a stream's name; ``levels`` as sent, ``"400"``."""

    market: str
    levels: str

    @classmethod
    def parse(cls, text: str) -> "ObuName":
        """Return the parts; both empty where it is no such name."""
        prefix, _, rest = text.partition(".")
        market, _, levels = rest.rpartition(".")
        return cls(market, levels) if prefix == "ob" else cls("", "")

    @property
    def parameter(self) -> str:
        """What faults and truth call the stream's parameter: ``obu.400``."""
        return f"obu.{self.levels}"


class ObuSequence:
    """The frames of one stream, for all its readers.

    Attributes:
        due_ns: When the next frame is due.
        readers: Connections that are sent changes.
        waiting: Connections that are sent the whole window with the next
            frame, and changes from then on.
    """

    def __init__(
        self,
        market: Market,
        family: ObuFamily,
        context: Context,
        rng: random.Random,
        *,
        name: ObuName,
        now_ns: int,
    ) -> None:
        """Begin with the book as it stands.

        Args:
            market: The market.
            family: Levels, pace and wire.
            context: Faults and truth.
            rng: Decides the order of levels.
            name: Of the stream.
            now_ns: The present.
        """
        self._depth, self._period_ns = family.levels[name.levels]
        self.due_ns = now_ns + self._period_ns
        self.readers: dict[Connection, None] = {}
        self.waiting: dict[Connection, None] = {}
        self._market = market
        self._family = family
        self._context = context
        self._rng = rng
        self._name = name
        self._sent = TopLevels.of(market.book, self._depth, 1)
        self._sent_id = market.update_id

    def publish(self, now_ns: int) -> None:
        """Send what changed, and the whole window to those who wait for it."""
        self.due_ns = now_ns + self._period_ns
        market = self._market
        if market.update_id != self._sent_id:
            window = TopLevels.of(market.book, self._depth, 1)
            bids, asks = window.since(self._sent)
            first_id, self._sent_id = self._sent_id + 1, market.update_id
            self._sent = window
            if self.readers:
                self._send_changes(first_id, bids, asks, now_ns)
        if self.waiting:
            full = self._full(now_ns)
            for conn in self.waiting:
                conn.push(full)
            self.readers |= self.waiting
            self.waiting.clear()

    def leave(self, conn: Connection) -> bool:
        """Forget a connection; return whether nobody is left."""
        self.readers.pop(conn, None)
        self.waiting.pop(conn, None)
        return not (self.readers or self.waiting)

    def _send_changes(
        self, first_id: int, bids: Levels, asks: Levels, now_ns: int
    ) -> None:
        texts, market = self._family.texts, self._market
        push = self._push(texts(market, bids), texts(market, asks), now_ns, first_id)
        for conn in self.readers:
            altered = self._altered(conn, first_id, bids, asks, now_ns)
            conn.push(push if altered is None else altered)

    def _altered(
        self,
        conn: Connection,
        first_id: int,
        bids: Levels,
        asks: Levels,
        now_ns: int,
    ) -> Push | None:
        """Return what a fault makes of a change for one connection."""
        for name in ("full", "crossed"):
            strike = self._context.plan.strike(
                name,
                now_ns,
                stream="depth",
                parameter=self._name.parameter,
                market=self._name.market,
            )
            if not strike:
                continue
            best = self._market.book.best(ASK)
            if name == "full":
                push = self._full(now_ns)
            elif best is not None:
                texts, market = self._family.texts, self._market
                price = best[0] + 1
                # A removal at that very price would undo it.
                bids = [(price, best[1]), *(b for b in bids if b[0] != price)]
                push = self._push(
                    texts(market, bids), texts(market, asks), now_ns, first_id
                )
            else:
                continue
            self._context.performed(name, conn.feed, conn=conn.number, push=push)
            return push
        return None

    def _full(self, now_ns: int) -> Push:
        book, texts = self._market.book, self._family.texts
        bids = texts(self._market, book.top(BID, self._depth))
        asks = texts(self._market, book.top(ASK, self._depth))
        return self._push(bids, asks, now_ns, None)

    def _push(
        self, bids: TextLevels, asks: TextLevels, now_ns: int, first_id: int | None
    ) -> Push:
        """Return a frame: a change from an id on, or the whole window."""
        market = self._market
        result: dict[str, object] = {"t": market.changed_ns // MS_NS}
        if first_id is None:
            result["full"] = True
        result["s"] = f"ob.{self._name.market}.{self._name.levels}"
        if first_id is not None:
            result["U"] = first_id
        result["u"] = market.update_id
        for key, levels in (("b", bids), ("a", asks)):
            if levels or first_id is None:
                result[key] = levels if first_id is None else self._mixed(levels)
        return Push(
            payload=self._family.encode(result, now_ns),
            stream="depth",
            market=self._name.market,
            first_update_id=first_id,
            last_update_id=market.update_id,
            parameter=self._name.parameter,
            facts=(
                {
                    "ts_event": market.changed_ns // MS_NS * MS_NS,
                    "is_snapshot": first_id is None,
                    "first_update_id": first_id,
                    "last_update_id": market.update_id,
                    "bids": tuple(bids),
                    "asks": tuple(asks),
                },
            ),
        )

    def _mixed(self, levels: TextLevels) -> TextLevels:
        mixed = list(levels)
        self._rng.shuffle(mixed)
        return mixed


class Obu:
    """All these streams of one socket address: who asked for what."""

    def __init__(
        self,
        family: ObuFamily,
        markets: Mapping[str, Market],
        context: Context,
        *,
        seed: int,
        is_full_first: bool,
    ) -> None:
        """Begin without readers.

        Args:
            family: Levels, pace and wire.
            markets: The markets served, by name.
            context: Faults and truth.
            seed: Decides the order of levels.
            is_full_first: The whole window is sent before the request is
                answered; else with the next frame that is due.
        """
        self._family = family
        self._markets = markets
        self._context = context
        self._is_full_first = is_full_first
        self._rng = random.Random(f"{seed}:obu")
        # By the names of streams. None: of what was asked for nothing comes.
        self._asked: dict[Connection, dict[str, ObuSequence | None]] = {}
        self._sequences: dict[str, ObuSequence] = {}

    def has(self, conn: Connection) -> bool:
        """Return whether a connection is subscribed to anything here."""
        return bool(self._asked.get(conn))

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        for text, sequence in self._asked.pop(conn, {}).items():
            self._leave(conn, text, sequence)

    def subscribe(
        self, conn: Connection, payload: object, now_ns: int, answer: Answer
    ) -> None:
        """Subscribe to all streams of a payload, or refuse it as a whole.

        Args:
            conn: Who asks.
            payload: Of the request: names as in ``["ob.BTC_USDT.400"]``.
            now_ns: The present.
            answer: Is called once, when the answer is to be sent.
        """
        texts = _texts(payload)
        if isinstance(texts, Refusal):
            answer(texts)
            return
        asked = self._asked.setdefault(conn, {})
        for text in texts:
            if text in asked or texts.count(text) > 1:
                answer(Refusal(2, f"Alert sub {text}"))
                return
        if not self._is_full_first:
            answer(None)
        for text in texts:
            asked[text] = self._join(conn, text, now_ns)
        if self._is_full_first:
            answer(None)

    def unsubscribe(self, conn: Connection, payload: object, answer: Answer) -> None:
        """Take back streams; one that was not asked for is no matter.

        Args:
            conn: Who asks.
            payload: Of the request.
            answer: Is called once, when the answer is to be sent.
        """
        texts = _texts(payload)
        if isinstance(texts, Refusal):
            answer(texts)
            return
        asked = self._asked.get(conn, {})
        for text in texts:
            self._leave(conn, text, asked.pop(text, None))
        answer(None)

    def publish(self, now_ns: int) -> None:
        """Send what is due; the markets have been advanced to the present."""
        for sequence in self._sequences.values():
            if now_ns >= sequence.due_ns:
                sequence.publish(now_ns)

    def _join(self, conn: Connection, text: str, now_ns: int) -> ObuSequence | None:
        """Return the sequence that a connection reads now, None if none comes."""
        context, name = self._context, ObuName.parse(text)
        context.accepted()
        market = self._markets.get(name.market)
        if market is None or name.levels not in self._family.levels:
            return None
        strike = context.plan.strike(
            "silent_ack",
            now_ns,
            stream="depth",
            parameter=name.parameter,
            market=name.market,
        )
        if strike:
            push = Push(
                payload=b"",
                stream="depth",
                market=name.market,
                parameter=name.parameter,
            )
            context.performed("silent_ack", conn.feed, conn=conn.number, push=push)
            return None
        sequence = self._sequences.get(text)
        if sequence is None:
            sequence = ObuSequence(
                market, self._family, context, self._rng, name=name, now_ns=now_ns
            )
            self._sequences[text] = sequence
        sequence.waiting[conn] = None
        if self._is_full_first:
            sequence.publish(now_ns)
        return sequence

    def _leave(self, conn: Connection, text: str, sequence: ObuSequence | None) -> None:
        if sequence is not None and sequence.leave(conn):
            del self._sequences[text]


def _texts(payload: object) -> Sequence[str] | Refusal:
    try:
        texts = msgspec.convert(payload, tuple[str, ...])
    except msgspec.ValidationError:
        texts = ()
    return texts or Refusal(2, "invalid argument: payload")
