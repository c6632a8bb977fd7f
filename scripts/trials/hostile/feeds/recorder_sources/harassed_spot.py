"""A real feed, less patient: what takes minutes with a venue takes seconds here.

Nothing of what is done with a frame differs, only how long is waited.
"""

from typing import Final

import msgspec

from recorder.source import Backoff
from recorder.sources import load


SOURCE: Final = msgspec.structs.replace(
    load("gate_spot"),
    name="harassed_spot",
    backoff=Backoff(first_seconds=0.1, max_seconds=0.2),
    ping_seconds=0.5,
    silence_seconds=8.0,
    connects_per_second=50.0,
)
