"""Until when a run that died without a word may have shown instants as its own.

What it received after its last heartbeat is lost, and the time of it must not be
shown by the next run, even if the wall clock was set back meanwhile. A clock
that nobody sets says how long ago the heartbeat was: the dead run has shown
nothing beyond, but where its clock was set forward since. Without such a clock
(the machine was started anew, or it is another one) it may have lived on for
as long as rows are kept in memory.
"""

from pathlib import Path
from typing import Final

import msgspec

from recorder.clock import boot_number, counting_ns
from recorder.store.disk import told, write_whole
from recorder.store.runfile import RunFile, run_path


UNWRITTEN_MAX_NS: Final = 60_000_000_000
"""The longest that a run keeps what it received before it writes it."""

TIMED: Final = 1
"""The ``idx`` of rows that end a run of which it is known until when it may have
shown instants: none of those is later than they are. 0 if it is not known."""


def with_last_instant(root: Path, said: RunFile) -> RunFile:
    """Put down until when a dead run may have shown instants, if that is known.

    It is put down once: whoever recovers the run again must write the same.

    Args:
        root: The store's folder.
        said: What the run file says.

    Returns:
        The same, with that.

    Raises:
        StoreError: If the disk refuses.
    """
    if said.shown_until is not None or said.counted is None:
        return said
    boot, counted = said.counted
    if boot != boot_number():
        return said
    passed = min(max(counting_ns() - counted, 0), UNWRITTEN_MAX_NS)
    said = msgspec.structs.replace(said, shown_until=said.through_ns + passed)
    path = run_path(root, said.run)
    plain = msgspec.structs.replace(said, heard=(), synced=None, counted=None)
    with told(f"write {path}"):
        write_whole(path, msgspec.json.encode(plain))
    return said
