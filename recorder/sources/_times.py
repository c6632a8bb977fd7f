"""Units of time, and times as numbers of JSON: each fits 64 bits of nanoseconds."""

from typing import Annotated, Final, TypeAlias

import msgspec


SECOND_NS: Final = 10**9
MILLISECOND_NS: Final = 10**6

Milliseconds: TypeAlias = Annotated[
    int, msgspec.Meta(ge=0, le=(2**63 - 1) // MILLISECOND_NS)
]
Seconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=(2**63 - 1) // SECOND_NS)]
