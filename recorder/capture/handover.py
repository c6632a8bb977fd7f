"""Two connections that carry the same chains, until the second stands alone.

The first is followed as long as it lives: its rows are taken as they come.
A row of the second waits until the first has brought it too, and is a double
then; what the first has not brought when it ends is taken from the second.
So nothing depends on which of the two is faster, and what the venue pushes late
over the first (executed before the second was accepted) is there. Besides:

* What the first skipped, as its next row shows by its number, is taken from
  the second as soon as it is there. So are changes for which the first brought
  a whole book.
* Where updates carry ids, those of the second that lie within what the first
  has brought meanwhile are doubles, however the venue cuts them. A snapshot
  that only the second brought is stored, though no book has any use for it.
* Streams without ids cannot be laid beside each other. The first is followed
  until the second brings the whole book; from then on only the second is.
* Of a chain of which nothing is recorded when the second accepts it, the second
  is *in charge*: it is followed, and rows of the first wait for it.
* If the second ends before the first, its rows wait on until the first was
  heard for as long as it can be behind, and are taken then.
* A row that may be here already, and nobody can tell, is left out, and told.

When the first may be left, `recorder.capture.handover_live` says.

The first may be behind: what it was sent before the second was accepted is
still on its way then. How far it is behind shows when it brings what the
second has brought, or does not, and so much longer it is listened to.

When the first ends, a chain goes on without a gap if the second is known to
have brought all that followed: if a row came over both, or if the first was
heard until `OVERLAP_NS` after the chain was accepted on the second, and as much
longer as it is behind. Otherwise rows may be missing, from the last frame of
the first to then. A chain of which the first owes a row for longer than it can
be behind, or ids before it, did not come over it: rows may be missing from the
last one on, until the second was accepted.

No I/O; times are our clock, nanoseconds.
"""

from collections.abc import Callable, Mapping
from typing import Final

from recorder.capture.books import Books
from recorder.capture.doubles import Doubles
from recorder.capture.handover_live import SECOND_NS, Liveness
from recorder.capture.link import Link
from recorder.capture.pairing import (
    Call,
    Key,
    Pairing,
    Spoiled,
    Waiting,
    key_of,
    keys_of,
    last_of,
)
from recorder.capture.reached import Reached
from recorder.capture.row_kinds import begin_of, is_impossible, is_numbered
from recorder.capture.trade_ids import TradeCheck
from recorder.model import Chain, DepthUpdate, Kline, Trade, WireEvent


LAG_MAX_NS: Final = 15 * SECOND_NS
"""The longest time that the first may be behind the second. What it has not
brought after that, it will not bring."""

LINGER_NS: Final = 15 * SECOND_NS
"""How long after the end of the first its rows may still come over the second."""

WAITING_MAX: Final = 100_000
"""Rows of the second that may wait; with more the first is given up."""

MATCHED: Final = frozenset({Trade, DepthUpdate})
"""Events with numbers: one that came over both shows that both carry all that
follows. Other rows may say the same without being the same."""


class Handover:
    """From one connection to another.

    Args:
        first: The connection that is to be left.
        second: The one that takes its place, just opened.
        chain_of: Gives the chain of a row; None if nobody asked for it.
        pass_on: Takes rows that waited.
        keep: Takes snapshots of which no book has any use.
        books: The depth chains.
        trades: The running numbers of trades.
        doubles: What was stored.
        heard: When a row of a chain was last received.
        doubt: Told of a chain, and when a row of it came that is left out, for
            nobody knows whether it is here already.
        known: What the handover to the first knows, if that was only just.

    Attributes:
        first: As given.
        second: As given.
        ended_at: When the first ended; None while it lives.
        second_ended_at: When the second ended before it.
        live: What the second has shown of itself.
        heard: When a row of a chain last came over the one that is followed.
        pairing: Lays their rows beside each other.
    """

    def __init__(
        self,
        first: Link,
        second: Link,
        *,
        chain_of: Callable[[WireEvent], Chain | None],
        pass_on: Callable[[Call], None],
        keep: Callable[[Call], None],
        books: Books,
        trades: TradeCheck,
        doubles: Doubles,
        heard: Mapping[tuple[str, str], int],
        doubt: Callable[[Chain, int], None],
        known: Mapping[Key, bool] | None = None,
    ) -> None:
        self.first = first
        self.second = second
        self.ended_at: int | None = None
        self.second_ended_at: int | None = None
        self._doubt = doubt
        self._spoiled: list[Spoiled] = []
        self._chain_of = chain_of
        self._pass_on = pass_on
        self._keep = keep
        self._books = books
        self._doubles = doubles
        self.pairing = Pairing({} if known is None else known)
        self._joined: set[Chain] = set()
        self._reached = Reached(books, trades, second.chains)
        self._lag = 0
        self._blank: dict[Chain, Call] = {}
        self.heard = {chain: heard.get(chain, 0) for chain in second.chains}
        for chain in second.chains:
            if chain in books:
                self.pairing.know(keys_of(chain, books[chain].recent))
        self.live = Liveness(first, second, books, self._overlaps)
        second.idle.update(second.chains)

    # Rows ----------------------------------------------------------------

    def takes(
        self, link: Link, ts_recv: int, seq: int, idx: int, item: object, payload: bytes
    ) -> bool:
        """Return whether a row is not to be stored now: it waits, or came before.

        Args:
            link: The first or the second connection.
            ts_recv: Our clock when its frame was read.
            seq: Number of its frame.
            idx: Its position in the frame.
            item: The row.
            payload: The frame.
        """
        event: WireEvent = item  # type: ignore[assignment]
        chain = self._chain_of(event)
        if chain is None or is_impossible(event, self.live.bare):
            return False  # its own frame is to blame for it
        if chain in self.live.bare:
            return self._takes_bare(link, chain, event)
        call = Call(link, ts_recv, seq, idx, item, payload)
        if (link is self.second) == (chain in self.first.idle):
            return self._from_leader(chain, event, call)
        if link is self.second:
            self.live.second_brought(chain, event)
        if isinstance(event, DepthUpdate) and self.ended_at is None:
            self._blank.pop(chain, None)
            if event.is_snapshot and event.last_update_id is None:
                self._blank[chain] = call
                return True
        return self._from_follower(chain, event, call)

    def _takes_bare(self, link: Link, chain: Chain, event: WireEvent) -> bool:
        if chain in self.first.idle:
            return link is self.first
        if link is self.first or self.ended_at is not None:
            return False
        if isinstance(event, DepthUpdate) and event.is_snapshot:
            self.put_in_charge(chain)
            return False
        return True

    def _from_leader(self, chain: Chain, event: WireEvent, call: Call) -> bool:
        self._drop_overtaken(chain)
        self._fill(chain, event)
        self.heard[chain] = call.ts_recv
        key = key_of(chain, event)
        if self.pairing.was_taken(key):  # it comes late: the other was asked for it
            return not self._reached.awaits(chain, event)
        is_first = call.link is self.first
        asked = chain in self.second.unanswered or chain in self.second.accepted
        twin = self.pairing.first(key, is_awaited=is_first and asked)
        if twin is not None:
            self._match(chain, event)
            behind = call.ts_recv - twin.call.ts_recv
            if is_first and self._lag < behind <= LAG_MAX_NS:
                self._lag = behind
        elif is_first:
            self.live.first_alone(chain, call.ts_recv)
        self._reached.note(chain, event)
        return False

    def _from_follower(self, chain: Chain, event: WireEvent, call: Call) -> bool:
        key = key_of(chain, event)
        self._drop_overtaken(chain)
        if self._reached.awaits(chain, event):
            return False
        if self.pairing.second(key):
            self._match(chain, event)
            return True
        if self._is_double(chain, event, call.link):
            if isinstance(event, DepthUpdate):
                self._match(chain, event)
                self._pass_over(key, call)
            return True
        if self._reached.skipped(chain, event):
            self.pairing.take_as_stored(key, call.ts_recv)
            return False
        if self.ended_at is not None:
            if is_doubtful := self.pairing.is_doubtful(key):
                self._doubt(chain, call.ts_recv)
            return is_doubtful
        if call.link is self.second or key.is_named:
            self._wait(key, event, call)
        return True

    def _wait(self, key: Key, event: WireEvent, call: Call) -> None:
        number = begin_of(event)
        place = None if number is None else (key.chain, number)
        is_owed = is_numbered(event) and call.link is self.second
        self.pairing.wait(key, place, call, is_owed=is_owed)
        if len(self.pairing) > WAITING_MAX and not self.first.is_dead:
            self.first.is_dead = True
            self.first.why_dead = "it brings too little of what the next one brings"

    def _match(self, chain: Chain, event: WireEvent) -> None:
        self.live.shown(chain)
        if type(event) in MATCHED:
            self._joined.add(chain)

    def _fill(self, chain: Chain, event: WireEvent) -> None:
        """Take from the second what the first skipped before a row.

        A snapshot stands for changes; as updates they may have come over the
        second.
        """
        number = begin_of(event)
        if isinstance(event, DepthUpdate) and event.is_snapshot:
            number = (event.last_update_id or 0) + 1
        while number is not None:
            next_one = self._reached.next_number(chain, event)
            if next_one is None:  # the first brought nothing before
                row = self.pairing.oldest(chain)
            else:
                row = self.pairing.at((chain, next_one))
            if row is None or (next_one or 0) >= number or last_of(row) >= number:
                return
            self._store(row)

    def _store(self, row: Waiting) -> None:
        """Store a row of the second: the first did not bring it, nor will it."""
        self.pairing.drop(row)
        self.pairing.take_as_stored(row.key, row.call.ts_recv)
        self._pass_on(row.call)

    def _is_double(self, chain: Chain, event: WireEvent, link: Link) -> bool:
        """Return whether a row brings nothing that is not here."""
        if isinstance(event, DepthUpdate):
            return self._reached.is_past(chain, event)
        if isinstance(event, Trade):
            return self._doubles.knows_trade(event)
        if isinstance(event, Kline):
            return self._doubles.knows_kline(event, link.conn)
        return False

    def _drop_overtaken(self, chain: Chain) -> None:
        """Decide about what waits and is within what the first has brought meanwhile."""
        while (row := self.pairing.oldest(chain)) is not None:
            event, reached = row.call.item, self._reached
            if not isinstance(event, DepthUpdate):
                return
            if reached.awaits(chain, event) or reached.skipped(chain, event):
                self._store(row)
            elif reached.is_past(chain, event):
                self.pairing.drop(row)
                self._pass_over(row.key, row.call)
            else:
                return

    def _pass_over(self, key: Key, call: Call) -> None:
        """Leave out what the first has gone past: a snapshot is a row even so."""
        if (
            isinstance(call.item, DepthUpdate)
            and call.item.is_snapshot
            and key not in self.pairing.known
        ):
            self.pairing.take_as_stored(key, call.ts_recv)
            self._keep(call)

    def spoiled(self, link: Link, first: int, end: int, detail: str) -> None:
        """Note a frame of one that says nothing, and when its rows may have come."""
        self._spoiled.append(Spoiled(link, first, end, detail))

    def spoiled_alone(self, ended: Link) -> list[Spoiled]:
        """Return frames of one that the other, which ended, may have had to bring."""
        since = ended.last_at - self.lag
        return [
            one for one in self._spoiled if one.link is not ended and one.end > since
        ]

    # Who is in charge ----------------------------------------------------

    def accepted(self, link: Link, chain: Chain) -> None:
        """Note that a chain of which nothing was recorded was accepted."""
        if link is self.second and self.ended_at is None:
            self._drop_overtaken(chain)
            if chain in self._books:
                self._books.lost(chain, self.second.opened_at)
                self._reached.begin_anew(chain)
            else:
                self.pairing.change_sides(chain)
            self.put_in_charge(chain)

    def put_in_charge(self, chain: Chain) -> None:
        """Follow the second from now on for a chain."""
        self.first.idle.add(chain)
        self.second.idle.discard(chain)
        self.live.shown(chain)
        for row in self.pairing.take(chain):
            self._pass_on(row.call)

    # May the first be left? ----------------------------------------------

    def _overlaps(self, chain: Chain) -> bool:
        """Return whether updates wait that reach back to what is here."""
        row = self.pairing.oldest(chain)
        if row is None or not isinstance(row.call.item, DepthUpdate):
            return False
        first = row.call.item.first_update_id
        return first is not None and first <= self._reached.known(chain) + 1

    def is_live(self, now: int) -> bool:
        """Return whether the first may be left, as far as the second goes."""
        return self.live.is_live(now, self.lag)

    @property
    def is_first_heard(self) -> bool:
        """Whether the first was heard for long enough that it may be left."""
        return self.live.is_first_heard(self.lag)

    @property
    def owed_since(self) -> int | None:
        """When the oldest row came that the first should have brought as well."""
        while (row := self.pairing.oldest_owed()) is not None:
            event = row.call.item
            if not isinstance(event, DepthUpdate) or not self._reached.is_past(
                row.chain, event
            ):
                return row.call.ts_recv
            self.pairing.drop(row)
        return None

    @property
    def lag(self) -> int:
        """How far the first is behind the second, as far as that has shown."""
        since = self.owed_since
        owed = 0 if since is None else self.first.last_at - since
        return max(self._lag, owed if owed <= LAG_MAX_NS else 0)

    # The end of the first ------------------------------------------------

    def missing_until(self, chain: Chain, at: int) -> int | None:
        """Return until when rows of a chain may be missing, if they may.

        From the last frame of the first on, which ended.

        Args:
            chain: A chain that was accepted on the second.
            at: When the first ended.
        """
        accepted_at = self.second.accepted[chain]
        if chain in self.first.idle or chain in self._joined or self._overlaps(chain):
            return None
        until = max(accepted_at, min(at, self.live.settled_at(chain, self.lag)))
        return until if until > self.first.sure_at + 1 else None

    def silent_since(self, chain: Chain) -> int | None:
        """Return since when a chain did not come over the first, if so it was."""
        row = self.pairing.oldest(chain)
        if row is None or not row.is_owed or chain in self._joined:
            return None
        since = self.heard[chain] + 1
        behind = self.first.last_at - row.call.ts_recv
        is_lost = behind > (0 if self._reached.lacks(row.place) else LAG_MAX_NS)
        return since if is_lost and since < self.second.accepted[chain] else None

    def image_beyond(self, chain: Chain) -> Call | None:
        """Return the snapshot of the second that passes over changes, if it does.

        It stands for changes that came over the first only.
        """
        row = self.pairing.oldest(chain)
        if chain in self.first.idle or not self.live.has_images(chain) or row is None:
            return None
        if not isinstance(row.call.item, DepthUpdate):
            return None
        return row.call if self._reached.is_beyond(chain, row.call.item) else None

    def end_first(self, at: int) -> None:
        """Follow the second from now on, and take what of it waits."""
        self.ended_at = at
        self.second.idle.clear()
        self.settle()
        for call in self._blank.values():
            self._pass_on(call)

    def end_second(self, at: int) -> None:
        """Follow the first, and listen whether it brings what waits."""
        self.second_ended_at = at
        for chain in self.first.idle:
            self.settle(chain)

    def settle(self, chain: Chain | None = None) -> None:
        """Take what waits, of one chain or all: no twin of it will come."""
        for row in self.pairing.take(chain):
            event = row.call.item
            if isinstance(event, DepthUpdate) and self._reached.is_past(
                row.chain, event
            ):
                self._pass_over(row.key, row.call)
            elif row.is_doubtful:
                self._doubt(row.chain, row.call.ts_recv)
            else:
                self.pairing.take_as_stored(row.key, row.call.ts_recv)
                self._pass_on(row.call)

    def is_over(self, now: int) -> bool:
        """Return whether nothing that the two brought matters any more."""
        if self.second_ended_at is not None:
            return self.first.last_at >= self.second_ended_at + LAG_MAX_NS
        return self.ended_at is not None and now >= self.ended_at + LINGER_NS

    @property
    def waiting_since(self) -> int | None:
        """When the oldest row came that is not stored yet."""
        row = self.pairing.oldest()
        return None if row is None else row.call.ts_recv
