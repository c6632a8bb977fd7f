"""What is known of one depth chain while it is being recorded."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from recorder.continuity import Continuity
from recorder.model import Chain, DepthUpdate, Gap, RawLevels
from recorder.source import BookRule
from recorder.telemetry import BookKnown, SnapshotUseless, emit
from recorder.transitions import LIVE, NO_ID


if TYPE_CHECKING:
    from recorder.capture.backlog import Behind
    from recorder.capture.plain import Follower


UPDATES_REMEMBERED: Final = 16
"""Updates that a new connection may repeat; a venue pushes each only once."""

FIRST_RETRY_NS: Final = 1_000_000_000
"""After the first useless snapshot, before the next is asked for."""

YOUNGER_NS: Final = 500_000_000
"""How much later than an acceptance a snapshot must be made to prove itself."""

GAPS_REMEMBERED: Final = 16
"""Gaps of a chain that an update may still come late to fill."""

ADOPTIONS_REMEMBERED: Final = 64
"""When snapshots were adopted: to know which one mended a book that is found
to have been crossed."""

_Ranges: TypeAlias = list[tuple[int, int]]

Name: TypeAlias = tuple[bool, int | None, int | None]
"""By what a depth message is known again: whether it is a snapshot, and its ids."""


class Put(Protocol):
    """Takes a row for the store."""

    def __call__(
        self,
        ts_recv: int,
        conn: str,
        seq: int,
        idx: int,
        event: DepthUpdate[RawLevels],
        payload: bytes,
    ) -> None:
        """Append the row."""
        ...  # pragma: no cover - protocol


class Message(NamedTuple):
    """A depth message with its place in the data."""

    ts_recv: int
    conn: str
    seq: int
    idx: int
    event: DepthUpdate[RawLevels]
    payload: bytes

    @property
    def ids(self) -> tuple[int | None, int | None]:
        """First and last book change."""
        return self.event.first_update_id, self.event.last_update_id

    @property
    def name(self) -> Name:
        """By what it is known again."""
        return self.event.is_snapshot, *self.ids


class LateRun(NamedTuple):
    """Updates that came late one after another, with nothing newer between.

    Attributes:
        received: The last id of the chain all the while.
        since: First instant after the message before them.
        began_at: When the first of them was received.
        first: First id of the first.
        last: Last id of the last.
        length: How many they are.
    """

    received: int
    since: int
    began_at: int
    first: int
    last: int
    length: int = 0


class DepthChain:
    """What is known of one depth chain.

    While machine code follows it (`recorder.capture.plain`), what that learned is
    taken over as soon as `continuity`, `recent` or `last_at` is looked at.

    Attributes:
        follower: Who follows it, and under which number; None if nobody does.
        through: Last id received before the connection went away.
        began: First id received since.
        missing: Ranges of book changes that are missing, by gap.
        passed: Ranges of book changes for which snapshots on the socket stand,
            the last ones. Nothing of them need be missing, but an update may
            still come late.
        adopted: When the last snapshots were received that levels stem from.
        has_changes: Whether it brings changes though each message should be the
            whole book.
        accepted_at: When the venue accepted the chain, while its snapshot on
            the socket is awaited.
        is_image_missed: Whether that may have been missed since.
        failures: Acceptances in a row after which no snapshot came.
        restart_at: When the chain is to be asked for afresh; 0 for not at all.
        pending: The snapshot that waits for updates to prove it.
        is_pending_first: Whether no updates had come that it must reach: once
            it is proven, its book was known from its receipt on.
        lowered_at: When the last update came, if its ids began below what had
            come on connections before; else 0.
        awaits_update: Whether that one could not be stored. A replay does not
            know then that the ids are lower, and refuses a snapshot with such.
        suspects: Stale updates that continue each other, the last ones: either
            doubles, or the first of a new numbering.
        late: Updates that came late, the last ones; None if none did.
        behind: What a connection that goes on with the book may bring again.
        goes_on_from: Last id received of a book that was begun anew though its
            connection goes on.
    """

    __slots__ = (
        "_continuity",
        "_last_at",
        "_recent",
        "accepted_at",
        "accepted_event",
        "adopted",
        "asked_until",
        "awaits_update",
        "began",
        "behind",
        "chain",
        "epoch",
        "failures",
        "follower",
        "goes_on_from",
        "has_changes",
        "is_asked",
        "is_image_missed",
        "is_pending_first",
        "late",
        "lowered_at",
        "missing",
        "passed",
        "pending",
        "restart_at",
        "retry_ns",
        "rule",
        "suspects",
        "through",
    )

    def __init__(self, chain: Chain, rule: BookRule) -> None:
        self.chain = chain
        self.rule = rule
        self.follower: tuple[Follower, int] | None = None
        self._continuity = Continuity()
        self.epoch = 0
        self.missing: dict[Gap, _Ranges] = {}
        self.passed: _Ranges = []
        self._recent: deque[Name] = deque(maxlen=UPDATES_REMEMBERED)
        self._last_at = 0
        self.adopted: deque[int] = deque(maxlen=ADOPTIONS_REMEMBERED)
        self.accepted_at: int | None = None
        self.is_image_missed = False
        self.failures = 0
        self.has_changes = False
        self.restart_at = 0
        self.accepted_event: int | None = None
        self.pending: Message | None = None
        self.is_pending_first = False
        self.is_asked = False
        self.asked_until = 0
        self.retry_ns = FIRST_RETRY_NS
        self.suspects: list[Message] = []
        self.late: LateRun | None = None
        self.lowered_at = 0
        self.awaits_update = False
        self.behind: Behind | None = None
        self.through = self.began = self.goes_on_from = NO_ID

    @property
    def continuity(self) -> Continuity:
        """Its sequence check, which is not followed by machine code from now on."""
        self._take_back()
        return self._continuity

    def resume(self, continuity: Continuity, received: int | None) -> None:
        """Begin anew with what a replay knows; its connection has brought that id."""
        self._take_back()
        self._continuity = continuity
        self.goes_on_from = NO_ID if received is None else received

    @property
    def recent(self) -> "deque[Name]":
        """Names of the last messages stored.

        They are known again by them when a new connection begins with what the
        old one ended with.
        """
        self._take_back()
        return self._recent

    @property
    def last_at(self) -> int:
        """When its last message was received that is stored, or it was accepted."""
        self._take_back()
        return self._last_at

    @last_at.setter
    def last_at(self, at: int) -> None:
        self._take_back()
        self._last_at = at

    @property
    def is_live(self) -> bool:
        """Whether its book is known; it goes on to be followed as it is."""
        return self.follower is not None or self._continuity.is_live

    def _take_back(self) -> None:
        if self.follower is not None:
            follower, number = self.follower
            follower.give_back(number)

    def next_to_follow(self) -> int | None:
        """Return the id that the next update simply continues; None if none can."""
        chain = self._continuity
        is_whole = chain.state == LIVE and chain.applied == chain.received != NO_ID
        return chain.applied + 1 if is_whole and not self.suspects else None

    def went_on(self, last: int, at: int, ids: Sequence[tuple[int, int]]) -> None:
        """Take over what came while machine code followed it.

        Args:
            last: The last id received.
            at: When that was.
            ids: First and last ids of the last updates, oldest first.
        """
        self._continuity.went_on(last)
        self._recent.extend((False, *pair) for pair in ids)
        self._last_at = at

    @property
    def known_since(self) -> int:
        """When the snapshot was received that the levels stem from, or 0."""
        return self.adopted[-1] if self.adopted else 0

    @property
    def is_asked_afresh(self) -> bool:
        """Whether only a subscription afresh brings its book back for sure."""
        return self.rule.snapshot == "in_band" or self.has_changes

    @property
    def lacks_image(self) -> bool:
        """Whether changes come that nothing precedes, and nobody asks for it."""
        return self.has_changes and not (self.asked_until or self.restart_at)

    def adopt(self, at: int) -> None:
        """Note that the levels stem from a snapshot received then."""
        self.adopted.append(at)

    def mended_at(self, crossed_at: int) -> int:
        """Return when the first snapshot after a crossing was received."""
        return next((at for at in self.adopted if at > crossed_at), self.known_since)

    def known_from(self, at: int) -> int:
        """Return when the snapshot was received that the levels then stem from."""
        return max((adopted for adopted in self.adopted if adopted <= at), default=0)

    def break_off(self) -> None:
        """Forget what was known and asked: what comes next begins anew."""
        self.through = max(self.through, self.continuity.received)
        self.began = self.goes_on_from = NO_ID
        self.continuity.lost()
        self.epoch += 1
        self.behind = self.pending = None
        self.is_asked = False
        self.asked_until = self.restart_at = 0
        self.accepted_at = None

    def is_new(self, update: Message) -> bool:
        """Return whether a stale update can never have been stored.

        So it is if it lies before the first one of its connection, and after
        all that earlier ones brought.
        """
        first, last = update.ids
        if first is None or last is None:
            return True  # no snapshot comes twice: repetitions are known by their id
        return (
            self.through < first
            and last < self.began
            and update.name not in self.recent
        )

    def are_first(self) -> bool:
        """Return whether the suspects end where the connection's updates began."""
        return self.suspects[-1].event.last_update_id == self.began - 1

    def begin(self, first: int | None) -> None:
        """Note an update; the first of a connection is where it began."""
        if self.began == NO_ID and first is not None:
            self.began = first
            if first <= self.through:  # it counts anew: what is late is no double
                self.through = NO_ID

    def lower(self, at: int, first: int | None, held_first: int) -> None:
        """Note an update that is not routine, and what it had to continue."""
        self.lowered_at = at if first is not None and first < held_first else 0
        self.awaits_update = False

    def spoil(self, at: int) -> None:
        """Note that the row received then could not be stored."""
        self.awaits_update = at == self.lowered_at == self.last_at

    def is_repeated(self, first: int | None, base: int) -> bool:
        """Return whether a snapshot on the socket was stored before.

        One that comes again because it was asked for afresh is of use to a
        book that is not known.
        """
        is_of_use = first is None and base == self.continuity.received
        is_of_use = is_of_use and not self.continuity.is_live
        return (True, first, base) in self.recent and not is_of_use

    def note(self, update: Message) -> None:
        """Note that a message before those of its connection is stored."""
        first, last = update.ids
        if last is not None:
            self.recent.append(update.name)
        if first is not None:
            self.began = min(self.began, first)

    def count_anew(self) -> None:
        """Forget all that the old numbering told."""
        self.break_off()
        self.through = NO_ID
        self.recent.clear()
        # What the old numbering lacks, the new one does not bring.
        self.passed.clear()
        self.missing.clear()
        self.late = None
        # What the venue's clock said of the old numbering proves nothing now.
        self.accepted_event = None

    def is_younger(self, snapshot_event: int | None) -> bool:
        """Return whether the venue's clock proves a snapshot newer than its chain.

        By a margin, for the two may come from machines whose clocks differ.
        """
        if snapshot_event is None or self.accepted_event is None:
            return False
        return snapshot_event >= self.accepted_event + YOUNGER_NS

    def tell_useless(self, base: int | None) -> None:
        """Log that a snapshot did not fit what is held."""
        emit(
            SnapshotUseless(
                market=self.chain.market,
                base=NO_ID if base is None else base,
                held_first=self.continuity.held_first,
            )
        )

    def miss(self, gap: Gap, first: int, last: int) -> None:
        """Note that book changes are missing, of which some may come late."""
        self.missing[gap] = [(first, last)]
        if len(self.missing) > GAPS_REMEMBERED:
            del self.missing[next(iter(self.missing))]

    def lacks(self, first: int | None, last: int | None) -> bool:
        """Return whether book changes are missing, or only stood for by a snapshot.

        Args:
            first: First change of an update that may bring them.
            last: Its last change.
        """
        ranges = [*self.passed, *(r for gap in self.missing.values() for r in gap)]
        return (
            first is not None
            and last is not None
            and any(low <= last and first <= high for low, high in ranges)
        )

    def fill(self, first: int, last: int) -> list[Gap]:
        """Note that book changes came; return the gaps that they were missing in.

        Gaps of which nothing is missing any more are no more among `missing`.
        """
        found = [
            gap
            for gap, ranges in self.missing.items()
            if _take_out(ranges, first, last)
        ]
        for gap in found:
            if not self.missing[gap]:
                del self.missing[gap]
        return found

    def pass_over(self, first: int, last: int) -> None:
        """Note that a snapshot stands for book changes, which may come late."""
        if self.rule.snapshot != "each":  # else no update ever comes
            self.passed.append((first, last))
        del self.passed[:-GAPS_REMEMBERED]

    def was_passed(self, first: int | None, last: int | None) -> bool:
        """Note that book changes came; return whether a snapshot stood for any."""
        if first is None or last is None:
            return False
        return _take_out(self.passed, first, last)

    def tell_known(self) -> None:
        """Log that the book is known, and through which id."""
        applied = self.continuity.applied
        emit(
            BookKnown(
                market=self.chain.market,
                stream=self.chain.stream,
                last_update_id=None if applied == NO_ID else applied,
            )
        )


def _take_out(ranges: _Ranges, first: int, last: int) -> bool:
    """Take a range out of others; return whether they had any of it."""
    rest = []
    for low, high in ranges:
        parts = [(low, min(high, first - 1)), (max(low, last + 1), high)]
        rest += [part for part in parts if part[0] <= part[1]]
    has_any = rest != ranges
    ranges[:] = rest
    return has_any
