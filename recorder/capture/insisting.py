"""What a take-over needs of the disk, insisted on: nobody else may record any more."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from recorder.errors import ConfigError, DiskError, RecorderError
from recorder.store.disk import told
from recorder.telemetry import TakeOverDelayed, emit


T = TypeVar("T")

DELAY_SECONDS: Final = 5.0
"""Before what the disk refused is tried again."""


async def insist(work: Callable[[], T], root: Path, job: str) -> T:
    """Do some work with a store in a thread, as soon as the disk lets it be done.

    Args:
        work: It may be begun again.
        root: The store's folder.
        job: For the log.

    Raises:
        StoreError: If it cannot be done, whatever the disk does.
    """
    while True:
        try:
            with told(f"use the store {root}"):
                return await asyncio.to_thread(work)
        except (ConfigError, DiskError) as error:  # a store that has gone, too
            await delay(error, job)


async def delay(error: RecorderError, job: str) -> None:
    """Tell why a take-over has to wait, and wait."""
    emit(TakeOverDelayed(job=job, why=str(error)))
    await asyncio.sleep(DELAY_SECONDS)
