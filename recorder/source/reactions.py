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
        is_maintenance: Whether the venue says that it does not work for now,
            for anybody.
        is_about_keys: Whether it did not accept the keys of our account.
    """

    action: Literal["stop", "retry"]
    why: str
    wait_seconds: float | None = None
    is_maintenance: bool = False
    is_about_keys: bool = False


def told_of_maintenance(ending: Ending) -> Verdict | None:
    """Return the verdict where a venue tells of maintenance in plain words.

    For feeds whose documents do not say how a venue tells. A refusal by HTTP 5xx,
    or a close, whose text has the word; the header ``Retry-After`` says how long
    to wait.

    Returns:
        None if that is not what it says.
    """
    is_client_error = ending.status is not None and ending.status < 500
    if is_client_error or "maintenance" not in ending.reason.lower():
        return None
    after = ending.headers.get("retry-after", "")
    shown = "".join(mark if mark.isprintable() else " " for mark in ending.reason)
    how = "closed" if ending.status is None else f"answered HTTP {ending.status}"
    return Verdict(
        action="retry",
        why=f"the venue {how}: {' '.join(shown.split())[:200]}",
        wait_seconds=float(after) if after.isascii() and after.isdigit() else None,
        is_maintenance=True,
    )
