"""Two connections that carry the same chains, until the second stands alone.

The first is followed as long as it lives: its rows are taken as they come.
A row of the second waits until the first has brought it too, and is a double
then; what the first has not brought when it ends is taken from the second.
So nothing depends on which of the two is faster, nothing is stored twice, and
what the venue pushes late over the first (it was executed before the second
was accepted) is there, and in its place. Besides:

* What the first skipped, as its next row shows by its number, is taken from
  the second as soon as it is there.
* Where updates carry ids, those of the second that lie within what the first
  has brought meanwhile are doubles, however the venue cuts them. A snapshot
  that only the second brought is stored, though no book has any use for it.
* Streams without ids cannot be laid beside each other. The first is followed
  until the second brings the whole book; from then on only the second is. So
  it is from the acceptance on where the first brings nothing: there the
  second is *in charge* at once.

When the first may be left, `recorder.capture.handover_live` says.

The first may be behind: what it was sent before the second was accepted is
still on its way then. How far it is behind shows when it brings what the
second has brought, or does not, and so much longer it is listened to.

When the first ends, a chain goes on without a gap if the second is known to
have brought all that followed: if a row came over both, or if the first was
heard until `OVERLAP_NS` after the chain was accepted on the second, and as much
longer as it is behind. Otherwise rows may be missing, from the last frame of
the first to then. A chain of which the first owes a row for longer than it can
be behind did not come over it: rows may be missing from the last one on, until
the second was accepted.

No I/O; times are our clock, nanoseconds.
"""

from collections.abc import Callable, Hashable, Mapping
from typing import Final

from recorder.capture.books import Books
from recorder.capture.doubles import Doubles, identity
from recorder.capture.handover_live import SECOND_NS, Liveness
from recorder.capture.link import Link
from recorder.capture.pairing import Call, Pairing
from recorder.capture.reached import Reached
from recorder.capture.row_kinds import begin_of, is_numbered, is_possible
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

    Attributes:
        first: As given.
        second: As given.
        ended_at: When the first ended; None while it lives.
        live: What the second has shown of itself.
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
    ) -> None:
        self.first = first
        self.second = second
        self.ended_at: int | None = None
        self._chain_of = chain_of
        self._pass_on = pass_on
        self._keep = keep
        self._books = books
        self._doubles = doubles
        self._pairing = Pairing()
        self._joined: set[Chain] = set()
        self._reached = Reached(books, trades, second.chains)
        self._lag = 0
        self._blank: dict[Chain, Call] = {}
        self._heard = {chain: heard.get(chain, 0) for chain in second.chains}
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
        if chain is None:
            return False
        if chain in self.first.idle:  # the second alone is followed
            return link is self.first
        if chain in self.live.bare:
            return self._takes_bare(link, chain, event)
        if link is self.first:
            self._from_first(chain, event, ts_recv)
            return False
        call = Call(link, ts_recv, seq, idx, item, payload)
        if isinstance(event, DepthUpdate) and self.ended_at is None:
            self._blank.pop(chain, None)
            if event.is_snapshot and event.last_update_id is None:
                self._blank[chain] = call
                return True
        return self._from_second(chain, event, call)

    def _takes_bare(self, link: Link, chain: Chain, event: WireEvent) -> bool:
        if link is self.first or self.ended_at is not None:
            return False
        if isinstance(event, DepthUpdate) and event.is_snapshot:
            self.put_in_charge(chain)
            return False
        return True

    def _from_first(self, chain: Chain, event: WireEvent, ts_recv: int) -> None:
        self._fill(chain, event)
        self._heard[chain] = ts_recv
        twin = self._pairing.first(identity(event))
        if twin is not None:
            self._match(chain, event)
            behind = ts_recv - twin.call.ts_recv
            if self._lag < behind <= LAG_MAX_NS:
                self._lag = behind
        else:
            self.live.first_alone(chain, ts_recv)
        self._reached.note(chain, event)

    def _from_second(self, chain: Chain, event: WireEvent, call: Call) -> bool:
        key = identity(event)
        if isinstance(event, DepthUpdate):
            if not is_possible(event):
                return False  # and its own frame is to blame for it
            if event.is_snapshot:
                self.live.imaged(chain)
        else:
            self.live.shown(chain)
        is_awaited = self._reached.awaits(chain, event)
        if self._pairing.second(key) and not is_awaited:
            self._match(chain, event)
            return True
        if self._is_double(chain, event):
            if isinstance(event, DepthUpdate):
                self._match(chain, event)
                self._pass_over(call)
            return True
        if (
            self.ended_at is not None
            or self._reached.skipped(chain, event)
            or is_awaited
        ):
            return False
        self._drop_overtaken(chain)
        self._wait(chain, key, event, call)
        return True

    def _wait(self, chain: Chain, key: Hashable, event: WireEvent, call: Call) -> None:
        number = begin_of(event)
        place = None if number is None else (chain, number)
        self._pairing.wait(chain, key, place, call, is_owed=is_numbered(event))
        if len(self._pairing) > WAITING_MAX and not self.first.is_dead:
            self.first.is_dead = True
            self.first.why_dead = "it brings too little of what the next one brings"

    def _match(self, chain: Chain, event: WireEvent) -> None:
        self.live.shown(chain)
        if type(event) in MATCHED:
            self._joined.add(chain)

    def _fill(self, chain: Chain, event: WireEvent) -> None:
        """Take from the second what the first skipped before a row."""
        number = begin_of(event)
        if number is None:
            return
        while (
            next_one := self._reached.next_number(chain, event)
        ) is not None and next_one < number:
            row = self._pairing.at((chain, next_one))
            if row is None:
                return
            self._pairing.drop(row)
            self._pass_on(row.call)

    def _is_double(self, chain: Chain, event: WireEvent) -> bool:
        """Return whether a row of the second brings nothing that is not here."""
        if isinstance(event, DepthUpdate):
            return self._reached.is_past(chain, event)
        if isinstance(event, Trade):
            return self._doubles.knows_trade(event)
        if isinstance(event, Kline):
            return self._doubles.knows_kline(event, self.second.conn)
        return False

    def _drop_overtaken(self, chain: Chain) -> None:
        """Forget what waits and is within what the first has brought meanwhile."""
        while (row := self._pairing.oldest(chain)) is not None:
            event = row.call.item
            if not isinstance(event, DepthUpdate):
                return
            if not self._reached.is_past(chain, event):
                return
            self._pairing.drop(row)
            self._pass_over(row.call)

    def _pass_over(self, call: Call) -> None:
        """Leave out what the first has gone past: a snapshot is a row even so."""
        if isinstance(call.item, DepthUpdate) and call.item.is_snapshot:
            self._keep(call)

    # Who is in charge ----------------------------------------------------

    def accepted(self, link: Link, chain: Chain) -> None:
        """Note that a chain of which nothing was recorded was accepted."""
        if link is self.second and self.ended_at is None:
            if chain in self._books:
                self._books.lost(chain)  # its book begins anew on the second
            self.put_in_charge(chain)

    def put_in_charge(self, chain: Chain) -> None:
        """Follow the second from now on for a chain, and only it."""
        self.first.idle.add(chain)
        self.second.idle.discard(chain)
        self.live.shown(chain)
        for row in self._pairing.take(chain):
            self._pass_on(row.call)

    # May the first be left? ----------------------------------------------

    def _overlaps(self, chain: Chain) -> bool:
        """Return whether updates wait that reach back to what is here."""
        row = self._pairing.oldest(chain)
        if row is None or not isinstance(row.call.item, DepthUpdate):
            return False
        first = row.call.item.first_update_id
        received = self._books[chain].continuity.received
        return first is not None and first <= received + 1

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
        while (row := self._pairing.oldest_owed()) is not None:
            event = row.call.item
            if not isinstance(event, DepthUpdate) or not self._reached.is_past(
                row.chain, event
            ):
                return row.call.ts_recv
            self._pairing.drop(row)
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
        if chain in self.first.idle or chain in self._joined:
            return None
        until = max(accepted_at, min(at, self.live.settled_at(chain, self.lag)))
        return until if until > self.first.sure_at + 1 else None

    def silent_since(self, chain: Chain) -> int | None:
        """Return since when a chain did not come over the first, if so it was."""
        row = self._pairing.oldest(chain)
        if row is None or not row.is_owed or chain in self._joined:
            return None
        since = self._heard[chain] + 1
        is_lost = row.call.ts_recv < self.first.last_at - LAG_MAX_NS
        return since if is_lost and since < self.second.accepted[chain] else None

    def image_beyond(self, chain: Chain) -> Call | None:
        """Return the snapshot of the second that passes over changes, if it does.

        It stands for changes that came over the first only.
        """
        row = self._pairing.oldest(chain) if self.live.has_images(chain) else None
        if row is None or not isinstance(row.call.item, DepthUpdate):
            return None
        return row.call if self._reached.is_beyond(chain, row.call.item) else None

    def end_first(self, at: int) -> None:
        """Follow the second from now on, and take what of it waits."""
        self.ended_at = at
        self.second.idle.clear()
        for row in self._pairing.take():
            event = row.call.item
            if isinstance(event, DepthUpdate) and self._reached.is_past(
                row.chain, event
            ):
                self._pass_over(row.call)
            else:
                self._pass_on(row.call)
        for call in self._blank.values():
            self._pass_on(call)

    def is_over(self, now: int) -> bool:
        """Return whether no row of the first comes over the second any more."""
        return self.ended_at is not None and now >= self.ended_at + LINGER_NS
