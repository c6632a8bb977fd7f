"""What a feed wants done when its venue refuses or ends a connection."""

from collections.abc import Mapping
from typing import Literal

import msgspec


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that was refused, or that came to its end.

    Attributes:
        status: HTTP status of a refused handshake; None for an open
            connection that was closed.
        code: Close code as received; None where there was none.
        reason: Close reason, or the body of the HTTP answer, its first
            4,096 characters.
        headers: Headers of the HTTP answer, names in lower case.
    """

    status: int | None = None
    code: int | None = None
    reason: str = ""
    headers: Mapping[str, str] = {}


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """How pauses between failures grow: each is twice the one before.

    Attributes:
        first_seconds: The first pause.
        max_seconds: The longest.
        is_drawn: Whether any time up to that is waited, by chance, so that
            many who lost the same venue do not come back together. False
            where a venue says how long to wait at least.
    """

    first_seconds: float = 0.5
    max_seconds: float = 30.0
    is_drawn: bool = True


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do about an ending.

    Attributes:
        action: ``stop``: another attempt cannot help. ``retry``: connect
            again.
        why: One sentence for people; says what to do where something can be
            done.
        wait_seconds: How long to wait before another attempt, as the venue
            says; 0 for at once, None for the usual growing pauses.
    """

    action: Literal["stop", "retry"]
    why: str
    wait_seconds: float | None = None
