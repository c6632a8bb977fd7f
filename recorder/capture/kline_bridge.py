"""Which klines a gap of klines lost, and whether the venue tells them afterwards.

What counts of a kline is how it was when it closed. Those that closed in the
gap are wanted; the one that was still open at its end tells all of itself in
later pushes. How a kline grew in between is told by nobody.

Pure. Times are nanoseconds since 1970 UTC. Klines begin and end by the venue's
clock, gaps by ours: how far these may be apart is the slack. Ours may be wrong
by more, so a kline counts as closed only if the venue says that it is, or tells
of one that began later, or an hour has gone by; and what was pushed before and
after the gap tells which closed in it, whatever the clocks showed.
"""

from collections.abc import Collection, Sequence
from typing import Final

from recorder.model import Kline
from recorder.source import Wanted


MARGIN: Final = 20
"""Klines asked for before those that are wanted: one of them proves that the venue
tells of that time at all."""


SURE_NS: Final = 3_600_000_000_000
"""Our clock is not further ahead than this."""


def closed_in(start_ns: int, end_ns: int, step_ns: int, slack_ns: int) -> range:
    """Return the opening times of the klines that may have closed in a gap.

    Args:
        start_ns: First instant of the gap, our clock.
        end_ns: First instant after it.
        step_ns: Length of a kline; each begins at a multiple of it.
        slack_ns: How far the clocks may be apart, the way of a push included.
    """
    first = (start_ns - slack_ns) // step_ns * step_ns
    return range(first, (end_ns + slack_ns) // step_ns * step_ns, step_ns)


def with_pushed(wanted: range, before: int | None, after: int | None) -> range:
    """Return opening times with those that pushes show to have closed in a gap.

    Whatever our clock showed: one that was pushed before it has closed if another
    was pushed after it.

    Args:
        wanted: Those that may have closed by our clock.
        before: Which one was pushed last before the gap; None if that is not known.
        after: Which one was pushed first after it.
    """
    if before is None or after is None or not before < after:
        return wanted
    if not wanted:
        return range(before, after, wanted.step)
    return range(min(before, wanted.start), max(after, wanted.stop), wanted.step)


class KlineBridge:
    """The klines of one gap.

    Args:
        wanted: Opening times of those that closed in it.
        stored: Those among them of which the closed kline is stored.
        page_rows: The largest page.
        slack_ns: So long after its end a kline is closed by our clock.
        settled_ns: So long after its end one that is not told is none: nobody
            traded.
        oldest_ns: The venue refuses to tell what is older.

    Attributes:
        is_elsewhere: Whether the venue's intervals begin at other times than
            multiples of their length.
    """

    def __init__(
        self,
        wanted: range,
        stored: Collection[int],
        page_rows: int,
        *,
        slack_ns: int,
        settled_ns: int,
        oldest_ns: int = 0,
    ) -> None:
        self.is_elsewhere = False
        self._step = wanted.step
        self._slack = slack_ns
        self._settled = settled_ns
        self._oldest = -(-oldest_ns // wanted.step) * wanted.step
        missing = [at for at in wanted if at not in stored]
        self._left = [at for at in missing if at >= self._oldest]
        self._page = max(1, page_rows - MARGIN - 2)
        self._asked: list[int] = []
        self._unsettled: list[int] = []
        self._forgotten = [at for at in missing if at < self._oldest]

    @property
    def is_bridged(self) -> bool:
        """Whether each is stored, told, or one in which nobody traded."""
        is_open = self._left or self._asked or self._unsettled or self._forgotten
        return not is_open and not self.is_elsewhere

    @property
    def unsettled(self) -> int:
        """How many the venue may tell later."""
        return len(self._unsettled)

    @property
    def forgotten(self) -> int:
        """How many the venue does not tell, and nothing before them either."""
        return len(self._forgotten)

    def next(self) -> Wanted | None:
        """Return what to ask for next; None if there is nothing more to ask."""
        if not self._left or self.is_elsewhere:
            return None
        first = self._left[0]
        last = first + (self._page - 1) * self._step
        self._asked = [at for at in self._left if at <= last]
        self._left = self._left[len(self._asked) :]
        return Wanted(
            limit=self._page + MARGIN + 2,
            from_ns=max(0, self._oldest, first - MARGIN * self._step),
            to_ns=self._asked[-1] + self._step,
        )

    def take(
        self, klines: Sequence[Kline[str]], asked_at: int
    ) -> list[tuple[int, Kline[str]]]:
        """Take the answer to what was asked for last.

        Args:
            klines: The page.
            asked_at: Our clock when it was asked for.

        Returns:
            The closed ones that are wanted, with their places in the page.
        """
        asked, self._asked = self._asked, []
        if any(kline.open_at % self._step for kline in klines):
            self.is_elsewhere = True
            return []
        newest = max((kline.open_at for kline in klines), default=0)
        closed = {
            kline.open_at: (place, kline)
            for place, kline in enumerate(klines)
            if self._is_closed(kline, newest, asked_at)
        }
        told = {kline.open_at for kline in klines}
        for at in asked:
            if at in closed:
                continue
            is_settled = at + self._step + self._settled <= asked_at
            if at in told or not (is_settled or any(other > at for other in told)):
                self._unsettled.append(at)
            elif not any(other < at for other in told):
                self._forgotten.append(at)
            # Between two that are told, nobody traded.
        return [closed[at] for at in asked if at in closed]

    def _is_closed(self, kline: Kline[str], newest: int, asked_at: int) -> bool:
        """Return whether a kline is over by our clock, and the venue shows it."""
        over_ns = asked_at - (kline.open_at + self._step)
        if over_ns < self._slack:
            return False
        if kline.is_closed is not None:
            return kline.is_closed
        return kline.open_at < newest or over_ns >= SURE_NS
