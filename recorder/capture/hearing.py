"""Until when each connection was heard: what a killed or stopped run may claim.

A socket that brings nothing may be dead, and then what was sent is not here.
So coverage is claimed no further than the last frame of the connection that
carries a chain. Connections have numbers, one for each group of chains that
share one; they stay the same over reconnects. While a second connection is to
replace a first, it is the first that counts: of the second it is not known
yet whether it brings all. What the second has brought and the first has not
is not stored yet: no more is claimed than until then.
"""

from collections.abc import Mapping

from recorder.capture.link import Link
from recorder.model import Chain


class Hearing:
    """Remembers until when the connections of a run were heard."""

    def __init__(self) -> None:
        self._number_of: dict[Chain, int] = {}
        self._until: list[int] = []

    @property
    def number_of(self) -> Mapping[Chain, int]:
        """Number of the connection that carries a chain."""
        return self._number_of

    @property
    def until(self) -> tuple[int, ...]:
        """By number: first instant at which nothing was heard any more."""
        return tuple(self._until)

    def opened(self, link: Link) -> None:
        """Note a connection; the first one of its chains gets a number."""
        if link.chains and link.chains[0] not in self._number_of:
            self._number_of |= dict.fromkeys(link.chains, len(self._until))
            self._until.append(link.opened_at)

    def hear(self, link: Link) -> None:
        """Remember until when a connection was heard."""
        if link.first is not None:
            return
        waiting = [twins.waiting_since for twins in link.twins]
        last_at = min([link.sure_at, *(at - 1 for at in waiting if at is not None)])
        if link.second is not None and link.idle:  # some chains hang on both
            last_at = min(last_at, link.second.sure_at)
        for chain in link.chains[:1]:
            number = self._number_of[chain]
            self._until[number] = max(self._until[number], last_at + 1)

    def of(self, chain: Chain) -> int:
        """Return the first instant at which nothing was heard of a chain any more."""
        return self._until[self._number_of[chain]]
