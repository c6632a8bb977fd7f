"""The one sequence check: is a chain whole, and is its book known?

A chain is one market of one stream. Two questions are answered for each
message, and they are not the same question:

* rows: was something sent that we do not have? (`ROW_GAP`)
* book: may the order book be shown after this message? (`APPLY`, `ADOPT`)

Theory of operation
-------------------

Updates carry ``first`` and ``last``: the range of book changes folded into
them. A snapshot carries one id, ``base``. A chain is

``UNSYNCED``  nothing held, nothing known;
``ALIGNING``  updates are held since the first one, or since a break, and a
              snapshot that reaches back to them is awaited;
``LIVE``      the book is known;
``BROKEN``    it was known or aligning and is not: the connection went away
              or the book was found crossed. Nothing is held.

Each message is first classified by arithmetic on ids (`classify_update`,
`classify_snapshot`), then the table `TRANSITIONS` says what follows. An
input that is not in a state's row cannot occur there.

Rules that the arithmetic holds:

* An update wholly at or below what was received is stale: it is a double.
* After a snapshot the first update that reaches beyond it must bridge it
  (``first <= base + 1 <= last``); after that only ``first == applied + 1``
  continues the chain. A later overlap is a break: whether a venue nets
  inside such a range is not documented.
* A snapshot is adopted if the chain is down, or if it is newer than what
  is applied. While updates are held it must reach back to them
  (``base + 1 >= held_first``), else it is too old and another is needed.
* After `lost` an update that continues the applied id revives the chain, for
  then nothing was missed (unless more had been received already). So a book's levels and ``applied`` are kept while
  it is down, and `lost` does no harm where the ids prove that nothing is
  missing. After `crossed` only a snapshot helps.
* A snapshot that was asked for may come out of a cache: an old one would be
  shown as the book of an instant at which it was past, one from before a
  venue counted anew would never end. So it *waits* until updates reach it
  (``first <= base + 1``, ``base <= last``), which also shows that both count
  alike. Only one that contains neither less than what had come before the
  break nor more than what came after it is adopted at once; and with nothing
  received since, one that is `PROVEN` by other means. The recorder stores a
  snapshot when it adopts it: to a replay they are all proven.
* A snapshot among the updates is adopted as it comes, after `lost` with any id.
  It needs no first id: it stands for all that came before it.
* Of an update that may have been lost, the next one tells by its first id. A
  snapshot among the updates tells nothing of those before it. So where one
  was the last message, and something may have been lost since, the book is
  `doubted`: as after `lost`, an update that continues its id exactly or any
  newer snapshot shows it again; but ids go on, and what is older stays old.
* Messages without ids (``NO_ID``): a snapshot makes the chain live, updates
  apply while it is live, and nothing can be told about what was lost. Where
  updates with ids wait, a snapshot without one is of no use.
* Updates may tell their last id alone. They apply as those without ids do, but
  ids go on, and where something may have been lost since, such an update tells
  no more of it than a snapshot among the updates would.

All of this is in functions on integers, plain enough to be compiled by
numba: replay's kernel runs these very functions, so there is no second
sequence check. `Continuity` is their state with a comfortable interface.
"""

from typing import Final, TypeAlias

import msgspec

from recorder.transitions import (
    ADOPT,
    ALIGNING,
    APPLY,
    BROKEN,
    IN_AHEAD,
    IN_BAND,
    IN_BARE,
    IN_COVERED,
    IN_CROSSED,
    IN_EARLY,
    IN_HELD,
    IN_LOST,
    IN_NEWER,
    IN_NEXT,
    IN_OLDER,
    IN_REACHES,
    IN_STALE,
    IN_TOO_OLD,
    JOIN,
    LIVE,
    NO_ID,
    PROVEN,
    RESTART,
    SKIP,
    STATE_NAMES,
    TRANSITIONS,
    UNSYNCED,
    WAIT,
)


ID_MAX: Final = 2**63 - 2
"""The largest id: that of the change after it is a number of 64 bits, too."""


def classify_update(chain: "Fields", first: int, last: int) -> int:
    """Return what an update is to a chain.

    Args:
        chain: The chain before it.
        first: First change folded in, or ``NO_ID`` on streams without ids.
        last: Last change folded in.
    """
    state, applied, received, held_first, joining, waiting = chain
    if first == NO_ID:
        return IN_BARE
    if received != NO_ID and last <= received:
        return IN_STALE
    if applied != NO_ID:
        if state == LIVE and last <= applied:
            return IN_COVERED
        # After a break, more than that may have been received before it.
        is_all = state != BROKEN or last + 1 >= held_first
        if first == applied + 1 and is_all:
            return IN_NEXT
        if joining == 1 and first <= applied + 1 <= last and is_all:
            return IN_NEXT
    is_next = state == ALIGNING and first == received + 1
    if waiting != NO_ID and waiting <= last and (is_next or first <= waiting + 1):
        return IN_REACHES
    return IN_HELD if is_next else IN_AHEAD


def classify_snapshot(chain: "Fields", base: int, origin: int) -> int:
    """Return what a snapshot is to a chain.

    Args:
        chain: The chain before it.
        base: The snapshot's id, or ``NO_ID`` on streams without ids.
        origin: ``ASKED``, ``IN_BAND`` or ``PROVEN``.
    """
    state, applied, received, held_first, _, _ = chain
    if base == NO_ID:
        return IN_NEWER if held_first == NO_ID else IN_TOO_OLD
    if state == LIVE:
        return IN_OLDER if base <= applied else IN_NEWER
    if received == NO_ID:
        if origin == IN_BAND or (origin == PROVEN and base + 1 >= held_first):
            return IN_NEWER
        return IN_EARLY
    if base + 1 < held_first:
        return IN_TOO_OLD
    return IN_NEWER if base <= received or origin == IN_BAND else IN_EARLY


def is_row_gap(received: int, first: int) -> bool:
    """Return whether updates between ``received`` and ``first`` are missing."""
    return received != NO_ID and first != NO_ID and first > received + 1


Fields: TypeAlias = tuple[int, int, int, int, int, int]
"""A chain as integers.

* state;
* applied: id through which the book's levels are right, known or not;
* received: last id received since the connection went away;
* held_first: a snapshot must reach back to just before this id: the oldest
  update held, or the one after all that had come when the chain broke;
* joining: 1 while the update that bridges a snapshot is awaited;
* waiting: id of the snapshot that waits for updates to prove it.

Ids may be ``NO_ID``.
"""

FRESH: Final[Fields] = (UNSYNCED, NO_ID, NO_ID, NO_ID, 0, NO_ID)


def step_update(chain: Fields, first: int, last: int) -> tuple[Fields, int, int]:
    """Return a chain after an update, what to do, and what the update was.

    Args:
        chain: The chain before it.
        first: First change folded in, or ``NO_ID``.
        last: Last change folded in, or ``NO_ID``.
    """
    state, applied, received, held_first, joining, waiting = chain
    kind = classify_update(chain, first, last)
    state, action = TRANSITIONS[state][kind]
    # What is left out because nothing precedes it continues nothing either.
    is_left_out = kind == IN_BARE and action == SKIP
    if kind != IN_STALE and not is_left_out and last != NO_ID:
        received = last
    if action in (APPLY, JOIN):
        applied = last
        held_first = NO_ID
        joining = 1 if first == NO_ID and last != NO_ID else 0
        waiting = NO_ID
    elif action == RESTART:
        held_first = first
        if first > waiting + 1:
            waiting = NO_ID
    return (state, applied, received, held_first, joining, waiting), action, kind


def step_snapshot(chain: Fields, base: int, origin: int) -> tuple[Fields, int, int]:
    """Return a chain after a snapshot, what to do, and what it was.

    Args:
        chain: The chain before it.
        base: The snapshot's id, or ``NO_ID``.
        origin: ``ASKED``, ``IN_BAND`` or ``PROVEN``.
    """
    state, applied, received, held_first, joining, waiting = chain
    kind = classify_snapshot(chain, base, origin)
    state, action = TRANSITIONS[state][kind]
    if action == WAIT:
        waiting = base
    elif action == ADOPT:
        reaches_held = held_first != NO_ID and received > base
        applied = received if reaches_held else base
        joining = 0 if reaches_held else 1
        held_first = waiting = NO_ID
        if origin == IN_BAND and base > received:
            received = base
    return (state, applied, received, held_first, joining, waiting), action, kind


def step_lost(chain: Fields) -> tuple[Fields, int, int]:
    """Return a chain after its connection went away."""
    state, applied, received, held_first, joining, _ = chain
    state, action = TRANSITIONS[state][IN_LOST]
    newest = max(applied, received)
    if newest != NO_ID:
        held_first = max(held_first, newest + 1)
    return (state, applied, NO_ID, held_first, joining, NO_ID), action, IN_LOST


def step_crossed(chain: Fields) -> tuple[Fields, int, int]:
    """Return a chain after its book was found crossed."""
    state, applied, received, held_first, _, _ = chain
    state, action = TRANSITIONS[state][IN_CROSSED]
    newest = max(applied, received)
    if newest != NO_ID:
        held_first = max(held_first, newest + 1)
    return (state, NO_ID, received, held_first, 0, NO_ID), action, IN_CROSSED


def step_doubted(chain: Fields) -> tuple[Fields, int, int]:
    """Return a chain after messages of the venue were lost, nobody knows whose.

    Unless its last message was a snapshot among the updates, nothing changes.
    """
    state, applied, received, held_first, joining, _ = chain
    if state != LIVE or joining != 1 or received != applied or applied == NO_ID:
        return chain, SKIP, IN_LOST
    state, action = TRANSITIONS[state][IN_LOST]
    held_first = max(held_first, applied + 1)
    return (state, applied, received, held_first, joining, NO_ID), action, IN_LOST


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What to do with one message of a chain.

    Attributes:
        action: ``SKIP``, ``APPLY``, ``HOLD``, ``RESTART``, ``ADOPT``,
            ``REFUSE``, ``DROP``, ``WAIT`` or ``JOIN``.
        is_double: The row was received before; do not store it again.
        is_row_gap: Rows between the last one received and this are missing.
        was_live: The book was known before this message.
        is_live: The book is known after it.
        applied: Id through which it is known, or None.
    """

    action: int
    is_double: bool
    is_row_gap: bool
    was_live: bool
    is_live: bool
    applied: int | None


class Continuity:
    """The sequence check of one chain; forgets nothing, holds no levels.

    The caller holds the updates (or need not, when it only wants to know
    whether the book is known): on ``HOLD`` append, on ``RESTART`` clear and
    append, on ``ADOPT`` replace the book and apply those held whose last id
    is beyond the snapshot's, on ``APPLY`` clear and apply, on ``DROP`` clear;
    on ``WAIT`` keep the snapshot, and on ``JOIN`` append the update and adopt
    the snapshot that was kept.
    """

    __slots__ = ("_fields",)

    def __init__(self) -> None:
        self._fields = FRESH

    @property
    def state(self) -> int:
        """``UNSYNCED``, ``ALIGNING``, ``LIVE`` or ``BROKEN``."""
        return self._fields[0]

    @property
    def state_name(self) -> str:
        """``unsynced``, ``aligning``, ``live`` or ``broken``."""
        return STATE_NAMES[self.state]

    @property
    def is_live(self) -> bool:
        """Whether the book is known."""
        return self.state == LIVE

    @property
    def applied(self) -> int:
        """Id through which the levels are right, known or not; or ``NO_ID``."""
        return self._fields[1]

    @property
    def received(self) -> int:
        """Last id received since the connection went away, or ``NO_ID``."""
        return self._fields[2]

    @property
    def held_first(self) -> int:
        """First id that a snapshot has to reach back to, or ``NO_ID``."""
        return self._fields[3]

    @property
    def waiting(self) -> int:
        """Id of the snapshot that waits for updates, or ``NO_ID``."""
        return self._fields[5]

    def is_as(self, other: "Continuity") -> bool:
        """Return whether both make the same of whatever comes.

        Snapshots that wait are left out: who has one keeps it.
        """
        mine, its = self._fields, other._fields
        state, applied, _, _, joining, _ = mine
        if state == its[0] == LIVE:
            return applied == its[1] and joining == its[4]
        return mine[:5] == its[:5]

    def follows(self, first: int | None, last: int | None) -> bool:
        """Take an update if it simply continues a live chain.

        The common case in one step, without a `Verdict`: what `update` would
        have said is ``APPLY``.

        Returns:
            Whether the update was taken. If it was not, ask `update`.
        """
        state, applied, received, _, _, _ = self._fields
        if (
            state != LIVE
            or first is None
            or last is None
            or applied == NO_ID
            or first != applied + 1
            or first != received + 1
            or last < first
            or last > ID_MAX
        ):
            return False
        self._fields = (LIVE, last, last, NO_ID, 0, NO_ID)
        return True

    def went_on(self, last: int) -> None:
        """Take it that a live chain went on, without a break, to an id."""
        self._fields = (LIVE, last, last, NO_ID, 0, NO_ID)

    def update(self, first: int | None, last: int | None) -> Verdict:
        """Judge an update.

        Args:
            first: First book change folded in; None where it is not told.
            last: Last book change folded in; None on streams without ids.

        Returns:
            The verdict; the chain has already moved on.

        Raises:
            ValueError: If only the first is given, last is below first, or
                beyond what an id can be.
        """
        if last is None:
            if first is not None:
                raise ValueError("an update with a first id has a last one")
            first = last = NO_ID
        elif first is None:
            if last < 0:
                raise ValueError(f"an update cannot have the id {last}")
            first = NO_ID
        elif not 0 <= first <= last:
            raise ValueError(f"update ids run backwards: {first} to {last}")
        if last > ID_MAX:
            raise ValueError(f"an update cannot have the id {last}")
        row_gap = is_row_gap(self.received, first)
        return self._follow(step_update(self._fields, first, last), row_gap=row_gap)

    def snapshot(self, base: int | None, origin: int) -> Verdict:
        """Judge a snapshot.

        Args:
            base: Id of the last book change it contains; None without ids.
            origin: ``IN_BAND`` if it came among the updates, on their socket,
                so that the next update continues it; ``PROVEN`` if it was
                asked for and is known to be newer than the asking; ``ASKED``
                if only ids can prove that.

        Returns:
            The verdict; the chain has already moved on.

        Raises:
            ValueError: If the id is negative, or beyond what an id can be.
        """
        if base is None:
            base = NO_ID
        elif not 0 <= base <= ID_MAX:
            raise ValueError(f"a snapshot cannot have the id {base}")
        return self._follow(step_snapshot(self._fields, base, origin))

    def lost(self) -> Verdict:
        """Note that the connection went away: updates may be missed."""
        return self._follow(step_lost(self._fields))

    def crossed(self) -> Verdict:
        """Note that the book was found crossed: only a snapshot mends it."""
        return self._follow(step_crossed(self._fields))

    def doubted(self) -> Verdict:
        """Note that messages were lost of which only ids could tell whose."""
        return self._follow(step_doubted(self._fields))

    def _follow(
        self, step: tuple[Fields, int, int], *, row_gap: bool = False
    ) -> Verdict:
        was_live = self.is_live
        self._fields, action, kind = step
        applied = self.applied
        return Verdict(
            action=action,
            is_double=kind in (IN_STALE, IN_OLDER),
            is_row_gap=row_gap,
            was_live=was_live,
            is_live=self.is_live,
            applied=applied if self.is_live and applied != NO_ID else None,
        )
