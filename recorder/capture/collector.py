"""The garbage collector of a process that records."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar


class _Ease:
    """How many want it at ease: it is one for the whole process."""

    holders: ClassVar[int] = 0


@contextmanager
def collector_at_ease() -> Iterator[None]:
    """Spare the garbage collector what was there before.

    The modules alone are 150,000 objects that stay. To search them again and
    again, as rows come and go, costs a tenth of a recording's time. Of
    several that overlap the last ends it.
    """
    gc.collect()
    gc.freeze()
    _Ease.holders += 1
    try:
        yield
    finally:
        _Ease.holders -= 1
        if not _Ease.holders:
            gc.unfreeze()
