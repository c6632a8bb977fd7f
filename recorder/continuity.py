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
* After `lost` any snapshot is adopted, also one with lower ids; and an
  update that continues the applied id revives the chain, for then nothing
  was missed. So a book's levels and ``applied`` are kept while it is down,
  and `lost` does no harm where the ids prove that nothing is missing. After
  `crossed` only a snapshot helps, and only one that contains all that was
  received.
* Messages without ids (``NO_ID``): a snapshot makes the chain live, updates
  apply while it is live, and nothing can be told about what was lost. Where
  updates with ids wait, a snapshot without one is of no use.

All of this is in functions on integers, plain enough to be compiled by
numba: replay's kernel runs these very functions, so there is no second
sequence check. `Continuity` is their state with a comfortable interface.
"""

from typing import Final, TypeAlias

import msgspec


NO_ID: Final = -1
"""Stands for "no such id" in the integer functions."""

# States of a chain.
UNSYNCED: Final = 0
ALIGNING: Final = 1
LIVE: Final = 2
BROKEN: Final = 3
STATE_NAMES: Final = ("unsynced", "aligning", "live", "broken")

# What a message turns out to be.
IN_STALE: Final = 0  # all of it was received before
IN_NEXT: Final = 1  # continues the chain exactly, or bridges a fresh snapshot
IN_COVERED: Final = 2  # a new row, but the snapshot already contains it
IN_AHEAD: Final = 3  # does not continue what is known or held
IN_HELD: Final = 4  # continues what is held
IN_BARE: Final = 5  # an update without ids
IN_NEWER: Final = 6  # a snapshot that can be adopted
IN_OLDER: Final = 7  # a snapshot at or below what is applied
IN_TOO_OLD: Final = 8  # a snapshot that does not reach back to what is held
IN_LOST: Final = 9  # the connection went away
IN_CROSSED: Final = 10  # the book was found crossed
INPUT_NAMES: Final = (
    "stale",
    "next",
    "covered",
    "ahead",
    "held",
    "bare",
    "newer snapshot",
    "older snapshot",
    "too old snapshot",
    "lost",
    "crossed",
)

# What is to be done with it.
SKIP: Final = 0  # leave the book alone
APPLY: Final = 1  # apply the update to the book
HOLD: Final = 2  # keep the update until a snapshot comes
RESTART: Final = 3  # forget what is held, then hold this update
ADOPT: Final = 4  # replace the book, then apply the held updates beyond it
REFUSE: Final = 5  # the snapshot is of no use; ask for another
DROP: Final = 6  # the book is no longer known; forget what is held
ACTION_NAMES: Final = ("skip", "apply", "hold", "restart", "adopt", "refuse", "drop")

NEVER: Final = (-1, -1)

# TRANSITIONS[state][input] = (next state, action); columns as numbered above.
TRANSITIONS: Final = (
    # UNSYNCED
    (
        (UNSYNCED, SKIP),  # stale
        NEVER,  # next
        NEVER,  # covered
        (ALIGNING, RESTART),  # ahead
        NEVER,  # held
        (UNSYNCED, SKIP),  # bare
        (LIVE, ADOPT),  # newer snapshot
        NEVER,  # older snapshot
        NEVER,  # too old snapshot
        (UNSYNCED, DROP),  # lost
        (UNSYNCED, DROP),  # crossed
    ),
    # ALIGNING
    (
        (ALIGNING, SKIP),
        (LIVE, APPLY),
        NEVER,
        (ALIGNING, RESTART),
        (ALIGNING, HOLD),
        (ALIGNING, SKIP),
        (LIVE, ADOPT),
        NEVER,
        (ALIGNING, REFUSE),
        (BROKEN, DROP),
        (BROKEN, DROP),
    ),
    # LIVE
    (
        (LIVE, SKIP),
        (LIVE, APPLY),
        (LIVE, SKIP),
        (ALIGNING, RESTART),
        NEVER,
        (LIVE, APPLY),
        (LIVE, ADOPT),
        (LIVE, SKIP),
        NEVER,
        (BROKEN, DROP),
        (BROKEN, DROP),
    ),
    # BROKEN
    (
        (BROKEN, SKIP),
        (LIVE, APPLY),
        NEVER,
        (ALIGNING, RESTART),
        NEVER,
        (BROKEN, SKIP),
        (LIVE, ADOPT),
        NEVER,
        (BROKEN, REFUSE),
        (BROKEN, DROP),
        (BROKEN, DROP),
    ),
)


def classify_update(
    state: int,
    applied: int,
    received: int,
    joining: int,
    first: int,
    last: int,
) -> int:
    """Return what an update is to a chain.

    Args:
        state: State of the chain.
        applied: Id through which the book's levels are right, known or not,
            or ``NO_ID``.
        received: Last id received on this chain, or ``NO_ID``.
        joining: 1 while the update that bridges a snapshot is awaited.
        first: First change folded in, or ``NO_ID`` on streams without ids.
        last: Last change folded in.
    """
    if first == NO_ID:
        return IN_BARE
    if received != NO_ID and last <= received:
        return IN_STALE
    if applied != NO_ID:
        if state == LIVE and last <= applied:
            return IN_COVERED
        if first == applied + 1:
            return IN_NEXT
        if joining == 1 and first <= applied + 1 <= last:
            return IN_NEXT
    if state == ALIGNING and first == received + 1:
        return IN_HELD
    return IN_AHEAD


def classify_snapshot(state: int, applied: int, held_first: int, base: int) -> int:
    """Return what a snapshot is to a chain.

    Args:
        state: State of the chain.
        applied: Id through which the book is known.
        held_first: A snapshot must reach back to just before this id: the
            oldest update held, or the one after a crossed book; or ``NO_ID``.
        base: The snapshot's id, or ``NO_ID`` on streams without ids.
    """
    if base == NO_ID:
        return IN_NEWER if held_first == NO_ID else IN_TOO_OLD
    if state == LIVE and base <= applied:
        return IN_OLDER
    if state != LIVE and base + 1 < held_first:
        return IN_TOO_OLD
    return IN_NEWER


def is_row_gap(received: int, first: int) -> bool:
    """Return whether updates between ``received`` and ``first`` are missing."""
    return received != NO_ID and first != NO_ID and first > received + 1


Fields: TypeAlias = tuple[int, int, int, int, int]
"""A chain as integers: state, applied, received, held_first, joining."""

FRESH: Final[Fields] = (UNSYNCED, NO_ID, NO_ID, NO_ID, 0)


def step_update(chain: Fields, first: int, last: int) -> tuple[Fields, int, int]:
    """Return a chain after an update, what to do, and what the update was.

    Args:
        chain: The chain before it.
        first: First change folded in, or ``NO_ID``.
        last: Last change folded in, or ``NO_ID``.
    """
    state, applied, received, held_first, joining = chain
    kind = classify_update(state, applied, received, joining, first, last)
    state, action = TRANSITIONS[state][kind]
    if kind != IN_STALE and last != NO_ID:
        received = last
    if action == APPLY:
        applied = last
        held_first = NO_ID
        joining = 0
    elif action == RESTART:
        held_first = first
    return (state, applied, received, held_first, joining), action, kind


def step_snapshot(chain: Fields, base: int, in_band: int) -> tuple[Fields, int, int]:
    """Return a chain after a snapshot, what to do, and what it was.

    Args:
        chain: The chain before it.
        base: The snapshot's id, or ``NO_ID``.
        in_band: 1 if it came among the updates, else 0.
    """
    state, applied, received, held_first, joining = chain
    kind = classify_snapshot(state, applied, held_first, base)
    state, action = TRANSITIONS[state][kind]
    if action == ADOPT:
        reaches_held = held_first != NO_ID and received > base
        applied = received if reaches_held else base
        joining = 0 if reaches_held else 1
        held_first = NO_ID
        if in_band == 1 and base > received:
            received = base
    return (state, applied, received, held_first, joining), action, kind


def step_lost(chain: Fields) -> tuple[Fields, int, int]:
    """Return a chain after its connection went away."""
    state, applied, _, _, joining = chain
    state, action = TRANSITIONS[state][IN_LOST]
    return (state, applied, NO_ID, NO_ID, joining), action, IN_LOST


def step_crossed(chain: Fields) -> tuple[Fields, int, int]:
    """Return a chain after its book was found crossed."""
    state, _, received, _, _ = chain
    state, action = TRANSITIONS[state][IN_CROSSED]
    held_first = NO_ID if received == NO_ID else received + 1
    return (state, NO_ID, received, held_first, 0), action, IN_CROSSED


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What to do with one message of a chain.

    Attributes:
        action: ``SKIP``, ``APPLY``, ``HOLD``, ``RESTART``, ``ADOPT``,
            ``REFUSE`` or ``DROP``.
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
    is beyond the snapshot's, on ``APPLY`` clear and apply, on ``DROP`` clear.
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

    def follows(self, first: int | None, last: int | None) -> bool:
        """Take an update if it simply continues a live chain.

        The common case in one step, without a `Verdict`: what `update` would
        have said is ``APPLY``.

        Returns:
            Whether the update was taken. If it was not, ask `update`.
        """
        state, applied, received, _, _ = self._fields
        if (
            state != LIVE
            or first is None
            or last is None
            or applied == NO_ID
            or first != applied + 1
            or first != received + 1
            or last < first
        ):
            return False
        self._fields = (LIVE, last, last, NO_ID, 0)
        return True

    def update(self, first: int | None, last: int | None) -> Verdict:
        """Judge an update.

        Args:
            first: First book change folded in; None on streams without ids.
            last: Last book change folded in.

        Returns:
            The verdict; the chain has already moved on.

        Raises:
            ValueError: If only one id is given, or last is below first.
        """
        if first is None or last is None:
            if first is not last:
                raise ValueError("an update has both ids or none")
            first = last = NO_ID
        elif not 0 <= first <= last:
            raise ValueError(f"update ids run backwards: {first} to {last}")
        row_gap = is_row_gap(self.received, first)
        return self._follow(step_update(self._fields, first, last), row_gap=row_gap)

    def snapshot(self, base: int | None, *, is_in_band: bool) -> Verdict:
        """Judge a snapshot.

        Args:
            base: Id of the last book change it contains; None without ids.
            is_in_band: True if it came among the updates, on their socket,
                so that the next update continues it.

        Returns:
            The verdict; the chain has already moved on.

        Raises:
            ValueError: If the id is negative.
        """
        if base is None:
            base = NO_ID
        elif base < 0:
            raise ValueError(f"a snapshot cannot have the id {base}")
        return self._follow(step_snapshot(self._fields, base, int(is_in_band)))

    def lost(self) -> Verdict:
        """Note that the connection went away: updates may be missed."""
        return self._follow(step_lost(self._fields))

    def crossed(self) -> Verdict:
        """Note that the book was found crossed: only a snapshot mends it."""
        return self._follow(step_crossed(self._fields))

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
