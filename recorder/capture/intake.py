"""What frames say, made into rows: one handler for each kind of item.

Rows that nobody asked for and kinds that nobody knows are no rows: their
frames are to be kept verbatim, and why is what `Intake.take` returns.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from recorder.capture.books import Books
from recorder.capture.doubles import Doubles
from recorder.capture.link import Link
from recorder.capture.new_keys import NewKeys
from recorder.capture.notices import Notices
from recorder.capture.pairing import Call
from recorder.capture.plan import ALL_REFUSED
from recorder.capture.restarts import Restarts
from recorder.capture.row_kinds import ROWS, PlainEvent, name_of
from recorder.capture.rows import Rows
from recorder.capture.silence import Silence
from recorder.capture.trade_ids import TradeCheck
from recorder.model import (
    NO_MARKET,
    Balance,
    Bbo,
    Chain,
    ContractStats,
    DepthUpdate,
    Kline,
    Liquidation,
    Order,
    RawLevels,
    StatusEvent,
    Ticker,
    Trade,
    WireEvent,
)
from recorder.source import (
    Heartbeat,
    Leaving,
    Quit,
    Refused,
    Send,
    Subscribed,
    Unrecognized,
    table_of,
)
from recorder.store.ledger import Ledger
from recorder.telemetry import (
    ChainsSubscribed,
    RowDoubled,
    SubscriptionRefused,
    emit,
)


Handler: TypeAlias = Callable[[Link, int, int, int, object, bytes], str | None]
"""Takes ``(link, ts_recv, seq, idx, item, payload)``; returns why its frame is
to be kept verbatim as unknown, None if it is not."""


class Intake:
    """Takes in the frames of all connections of a source.

    Args:
        source: Name of the feed.
        chains: What was asked for.
        rows: Takes rows to store.
        books: The depth chains among them.
        ledger: The books of the job.
        doubles: What was stored before.
        silence: Told of every row and of every acceptance.
        restarts: Told of refusals, which may be answers to its probes.
        notices: Told of what the venue says of itself.

    Attributes:
        accepted: Chains that the venue ever accepted.
        refused: Chains that the venue refused, with its words.
        keys_refused: Those among them for which it did not accept our keys.
        trade_check: The running numbers of trades.
    """

    def __init__(
        self,
        source: str,
        chains: Sequence[Chain],
        rows: Rows,
        books: Books,
        ledger: Ledger,
        doubles: Doubles,
        silence: Silence,
        restarts: Restarts,
        notices: Notices,
    ) -> None:
        self.accepted: set[Chain] = set()
        self.refused: dict[Chain, str] = {}
        self.keys_refused: set[Chain] = set()
        self._chains = frozenset(chains)
        self._rows = rows
        self._books = books
        self._ledger = ledger
        self._doubles = doubles
        self._silence = silence
        self._heard = silence.heard
        self._restarts = restarts
        self._notices = notices
        self.trade_check = TradeCheck(ledger, rows.note)
        self._new_keys = NewKeys(source)
        self._plain_chains: dict[tuple[str, str], list[Chain]] = {}
        for chain in chains:
            if chain not in books:
                for name in {table_of(chain.stream), chain.stream}:
                    key = (chain.market, name)
                    self._plain_chains.setdefault(key, []).append(chain)
        self._handlers: dict[type, Handler] = {
            Trade: self._on_trade,
            DepthUpdate: self._on_depth,
            Kline: self._on_kline,
            Ticker: self._on_plain,
            Bbo: self._on_plain,
            Liquidation: self._on_plain,
            ContractStats: self._on_plain,
            Order: self._on_plain,
            Balance: self._on_plain,
            StatusEvent: self._on_status,
            Subscribed: self._on_subscribed,
            Refused: self._on_refused,
            Send: self._on_send,
            Heartbeat: self._on_heartbeat,
            Leaving: self._on_leaving,
            Quit: self._on_quit,
            Unrecognized: self._on_unrecognized,
        }

    def plain_chains(self, market: str, table: str) -> Sequence[Chain]:
        """Return the chains without a book that fill a table for a market."""
        return self._plain_chains.get((market, table), ())

    def chain_of(self, event: WireEvent) -> Chain | None:
        """Return the chain of a row; None if nobody asked for it."""
        if isinstance(event, DepthUpdate):
            chain = Chain(event.market, event.stream)
            return chain if chain in self._books else None
        if isinstance(event, Kline):
            chain = Chain(event.market, f"klines:{event.interval}")
            return chain if chain in self._chains else None
        chains = self.plain_chains(event.market or NO_MARKET, name_of(event))
        return chains[0] if chains else None

    def take(self, link: Link, ts_recv: int, seq: int, payload: bytes) -> str | None:
        """Take in a frame.

        Args:
            link: The connection it came over.
            ts_recv: Our clock at the read, nanoseconds.
            seq: Its number within the connection.
            payload: The whole message.

        Returns:
            Why it is to be kept verbatim as unknown; None if it is not.

        Raises:
            WireError: If it cannot be decoded.
            ValueError: If it has update ids that no update can have.
        """
        handlers = self._handlers
        unknown: str | None = None
        for idx, item in enumerate(link.dialogue.receive(payload, ts_recv)):
            if link.twins and type(item) in ROWS:
                call = Call(link, ts_recv, seq, idx, item, payload)
                if self._is_spare(call):
                    continue
            why = handlers[type(item)](link, ts_recv, seq, idx, item, payload)
            unknown = unknown or why
        return unknown

    def _is_spare(self, call: Call) -> bool:
        """Return whether another connection brings a row, or brought it."""
        # Each is asked: it notes what it is asked about.
        answers = [twins.takes(*call) for twins in call.link.twins]
        event: WireEvent = call.item  # type: ignore[assignment]
        chain = self.chain_of(event)
        if chain is not None:
            self._heard[chain] = call.ts_recv
        return any(answers)

    def pass_on(self, call: Call) -> None:
        """Take a row that waited for the other connection."""
        link, ts_recv, seq, idx, item, payload = call
        if isinstance(item, DepthUpdate):
            # Updates before it came later, over the other connection: it can be
            # used, and a replay can follow, only after them.
            book = self._books[Chain(item.market, item.stream)]
            ts_recv = max(ts_recv, book.last_at + 1)
        self._handlers[type(item)](link, ts_recv, seq, idx, item, payload)

    def keep(self, call: Call) -> None:
        """Store a depth message that no book has any use for."""
        event: DepthUpdate[RawLevels] = call.item  # type: ignore[assignment]
        book = self._books[Chain(event.market, event.stream)]
        at = max(call.ts_recv, book.last_at + 1)
        self._rows.put(at, call.link.conn, call.seq, call.idx, event, call.payload)

    def stop(self) -> None:
        """Tell what has not been told until now: nothing more will come."""
        self.trade_check.stop()

    def _on_depth(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        event: DepthUpdate[RawLevels] = item  # type: ignore[assignment]
        self._new_keys.count(link, DepthUpdate, payload)
        if not self._books.event(ts, link.conn, seq, idx, event, payload):
            return _unasked(event.market)
        self._heard[event.market, event.stream] = ts
        if self._books.believed:
            for chain, at in self._books.believed:
                self._believe(chain, at)
            self._books.believed.clear()
        return None

    def _on_trade(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        event: Trade[str] = item  # type: ignore[assignment]
        self._new_keys.count(link, Trade, payload)
        chains = self._plain_chains.get((event.market, "trades"))
        if chains is None:
            return _unasked(event.market)
        self._heard[chains[0]] = ts
        if not self._doubles.is_new_trade(event):
            emit(RowDoubled(market=event.market, stream="trades"))
            return None
        if event.origin == "live":
            if event.market_trade_id is not None:
                self.trade_check.see(chains[0], event.market_trade_id, ts)
            self._silence.saw(chains[0], ts, event)
        self._rows.put(ts, link.conn, seq, idx, event, payload)
        return None

    def _on_kline(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        event: Kline[str] = item  # type: ignore[assignment]
        self._new_keys.count(link, Kline, payload)
        chain = Chain(event.market, f"klines:{event.interval}")
        if chain not in self._chains:
            return _unasked(event.market)
        self._heard[chain] = ts
        self._silence.saw(chain, ts, event)
        if self._doubles.is_new_kline(event, link.conn):
            self._rows.put(ts, link.conn, seq, idx, event, payload)
        else:
            emit(RowDoubled(market=event.market, stream=chain.stream))
        return None

    def _on_plain(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        event: PlainEvent = item  # type: ignore[assignment]
        kind = type(event)
        self._new_keys.count(link, kind, payload)
        market = event.market or NO_MARKET
        chains = self._plain_chains.get((market, name_of(event)))
        if chains is None:
            return _unasked(market)
        self._heard[chains[0]] = ts
        self._silence.saw(chains[0], ts, event)
        self._rows.put(ts, link.conn, seq, idx, event, payload)
        return None

    def _on_status(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        event: StatusEvent = item  # type: ignore[assignment]
        self._new_keys.search(
            link, payload
        )  # a few a day, and each may be of another kind
        if self._doubles.is_new_status(event):
            self._rows.put(ts, link.conn, seq, idx, event, payload)
            self._notices.see(event, ts)
        else:
            emit(RowDoubled(market=event.market, stream="status"))
        return None

    def _on_subscribed(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        reply: Subscribed = item  # type: ignore[assignment]
        self.accepted.update(reply.chains)
        for chain in reply.chains:
            link.unanswered.pop(chain, None)
            link.accepted[chain] = ts
            is_covered = self._ledger.is_covered(chain)
            was_probed = chain in link.probed
            link.probed.discard(chain)
            if is_covered and (was_probed or link.first is not None):
                # It goes on, here or over the connection before.
                self._silence.accepted(chain, ts, is_covered=True)
                continue
            for twins in link.twins:
                twins.accepted(link, chain)
            if chain not in self._books or self._books.accepted(
                chain, ts, reply.ts_event
            ):
                self._believe(chain, ts)
        # One request may ask for several streams, and be answered at once.
        for stream, markets in _markets_of(reply.chains).items():
            emit(ChainsSubscribed(stream=stream, markets=markets or None))
        return None

    def _believe(self, chain: Chain, at: int) -> None:
        """Count a chain as recorded from a time on."""
        is_covered = self._ledger.is_covered(chain)
        self._silence.accepted(chain, at, is_covered=is_covered)
        self._rows.note(self._ledger.covered(chain, at))

    def _on_refused(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        reply: Refused = item  # type: ignore[assignment]
        if reply.is_about_keys:
            self.keys_refused.update(reply.chains)
        for chain in reply.chains:
            link.unanswered.pop(chain, None)
            if self._restarts.probe_refused(link, chain, ts, reply.reason):
                continue
            if link.first is not None and self._ledger.is_covered(chain):
                link.refused[chain] = reply.reason  # the connection before has it
                continue
            self.refuse(chain, ts, reply.reason)
        if all(chain in self.refused or chain in link.refused for chain in link.chains):
            link.is_dead = True
            link.why_dead = ALL_REFUSED
        return None

    def gave_up(
        self, chains: Sequence[Chain], at: int, why: str, *, is_about_keys: bool
    ) -> None:
        """Take it that the venue will not have us, whatever is asked for.

        What it never accepted counts as refused.
        """
        for chain in chains:
            if chain in self.refused:
                continue
            if chain not in self.accepted:
                self.refused[chain] = why
                if is_about_keys:
                    self.keys_refused.add(chain)
            self._refused(chain, at, why)

    def refuse(self, chain: Chain, at: int, reason: str) -> None:
        """Note that the venue refuses a chain: nothing of it will come."""
        self.refused[chain] = reason
        self._refused(chain, at, reason)

    def _refused(self, chain: Chain, at: int, reason: str) -> None:
        self._silence.lost(chain)
        self._rows.note(self._ledger.refused(chain, at, reason))
        emit(
            SubscriptionRefused(
                market=chain.market or None, stream=chain.stream, reason=reason
            )
        )

    def _on_send(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        reply: Send = item  # type: ignore[assignment]
        # Ahead of what still waits: its answer is awaited for a limited time.
        link.answer(reply.requests)
        return None

    def _on_heartbeat(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        reply: Heartbeat = item  # type: ignore[assignment]
        if reply.ts_event is not None:
            link.offset_ms = (reply.ts_event - ts) / 1e6
        elif reply.is_clock_lost:
            link.offset_ms = None
        return None

    def _on_leaving(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        reply: Leaving = item  # type: ignore[assignment]
        link.leaving = reply.reason
        return None

    def _on_quit(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        reply: Quit = item  # type: ignore[assignment]
        link.is_dead = True
        link.why_dead = reply.verdict.why
        link.verdict = reply.verdict
        link.outbox.clear()
        return None

    def _on_unrecognized(
        self, link: Link, ts: int, seq: int, idx: int, item: object, payload: bytes
    ) -> str | None:
        reply: Unrecognized = item  # type: ignore[assignment]
        return reply.error


def _markets_of(chains: Sequence[Chain]) -> dict[str, int]:
    """Return of how many markets each stream is."""
    found: dict[str, int] = {}
    for chain in chains:
        found[chain.stream] = found.get(chain.stream, 0) + (chain.market != NO_MARKET)
    return found


def _unasked(market: str) -> str:
    """Return why a frame is kept whose market this run did not ask for."""
    return f"nobody asked for market {market!r}"
