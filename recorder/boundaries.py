"""The boundaries of the UTC clock at which runs end: every hour, day, quarter.

Times are nanoseconds since 1970-01-01 UTC. It asks no clock.
"""

from typing import Final

from recorder.errors import ConfigError
from recorder.times import NS_PER_SECOND, parse_seconds


STEPS: Final = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Names of steps, seconds."""

NEAR_SECONDS: Final = 5
"""A boundary so near is passed over: who is started for the hour that begins is
at times a moment early."""

OVERLAP_SECONDS: Final = 60
"""So long after a boundary a run ends that another is to take over from."""

_DAY: Final = 86_400


def parse_step(text: str) -> int:
    """Return a step of the clock, seconds.

    Args:
        text: ``minute``, ``hour``, ``day``, or a length of time of which a
            whole number makes a day: ``15m``, ``4h``, ``10s``.

    Raises:
        ConfigError: If it is anything else.
    """
    seconds = STEPS.get(text.strip()) or parse_seconds(text)
    if seconds < 1 or seconds % 1 or _DAY % seconds:
        raise ConfigError(
            f"--align {text}: give hour, day, or a length of time that a day "
            "consists of, such as 15m or 4h"
        )
    return int(seconds)


def next_boundary(now_ns: int, step_seconds: int, *, has_next: bool = False) -> int:
    """Return when a run ends that ends with its hour, day or other step.

    Args:
        now_ns: The time, which is not itself a boundary to come.
        step_seconds: The step.
        has_next: Whether another run is to take over at the boundary: then it
            ends a minute later, or a quarter of a step that is shorter.
    """
    step = step_seconds * NS_PER_SECOND
    near = min(NEAR_SECONDS * NS_PER_SECOND, step // 10)
    boundary = (now_ns + near) // step * step + step
    overlap = min(OVERLAP_SECONDS * NS_PER_SECOND, step // 4)
    return boundary + (overlap if has_next else 0)
