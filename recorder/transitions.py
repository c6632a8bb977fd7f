"""The transition table of the sequence check: states, inputs and actions.

`recorder.continuity` says what a message is to a chain; this table says what
follows. It is made of integers and tuples, so that it can be compiled.
"""

from typing import Final


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
IN_EARLY: Final = 11  # a snapshot that only updates to come can prove
IN_REACHES: Final = 12  # an update that proves the snapshot that waits

# What is to be done with it.
SKIP: Final = 0  # leave the book alone
APPLY: Final = 1  # apply the update to the book
HOLD: Final = 2  # keep the update until a snapshot comes
RESTART: Final = 3  # forget what is held, then hold this update
ADOPT: Final = 4  # replace the book, then apply the held updates beyond it
REFUSE: Final = 5  # the snapshot is of no use; ask for another
DROP: Final = 6  # the book is no longer known; forget what is held, and waits
WAIT: Final = 7  # keep the snapshot, in place of one that waits already
JOIN: Final = 8  # hold this update, adopt the snapshot that waits, forget both

# Where a snapshot comes from.
ASKED: Final = 0  # it was asked for, and may come out of a cache
IN_BAND: Final = 1  # it came among the updates
PROVEN: Final = 2  # it was asked for, and is known to be newer than the asking

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
        (UNSYNCED, WAIT),  # early snapshot
        (LIVE, JOIN),  # reaches
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
        (ALIGNING, WAIT),
        (LIVE, JOIN),
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
        NEVER,
        NEVER,
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
        (BROKEN, WAIT),
        (LIVE, JOIN),
    ),
)
