"""Markets chosen by patterns out of a venue's list.

``*_USDT`` stands for all markets that are like it and that are traded,
``!*3L_USDT`` takes away what it is like from what patterns find. A market
that is named is recorded whatever the list says: the venue will refuse it
if it does not have it.
"""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from recorder.model import Market


EXCLUDES: Final = "!"
_MARKS: Final = frozenset("*?[")


def is_pattern(text: str) -> bool:
    """Return whether a text stands for markets and is not the name of one."""
    return is_exclusion(text) or not _MARKS.isdisjoint(text)


def is_exclusion(text: str) -> bool:
    """Return whether a text takes markets away."""
    return text.startswith(EXCLUDES)


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What patterns found.

    Attributes:
        markets: What to record, each once: in the order of what was asked
            for, and of the list.
        untraded: Markets that were found but are not traded.
        unmatched: Patterns that found nothing.
    """

    markets: tuple[str, ...]
    untraded: tuple[str, ...]
    unmatched: tuple[str, ...]


def choose(
    wanted: Sequence[str],
    listed: Sequence[Market[str]],
    is_traded: Callable[[Market[str]], bool],
) -> Choice:
    """Return the markets that are meant.

    Args:
        wanted: Names and patterns, as people typed them.
        listed: The venue's list.
        is_traded: Whether a market of the list can be recorded now.
    """
    barred = [text.removeprefix(EXCLUDES) for text in wanted if is_exclusion(text)]
    offered = [
        market
        for market in listed
        if not any(fnmatchcase(market.market, pattern) for pattern in barred)
    ]
    chosen: dict[str, None] = {}
    untraded: dict[str, None] = {}
    unmatched = []
    for text in wanted:
        if not is_pattern(text):
            chosen[text] = None
        elif not is_exclusion(text):
            found = [m for m in offered if fnmatchcase(m.market, text)]
            chosen |= dict.fromkeys(m.market for m in found if is_traded(m))
            untraded |= dict.fromkeys(m.market for m in found if not is_traded(m))
            if not found:
                unmatched.append(text)
    return Choice(
        markets=tuple(chosen),
        untraded=tuple(name for name in untraded if name not in chosen),
        unmatched=tuple(unmatched),
    )
