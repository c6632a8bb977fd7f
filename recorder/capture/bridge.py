"""Is a gap of trades bridged? Told from pages of what the venue tells afterwards.

Pages are laid beside one another until one stretch without a hole reaches
from a trade known before the gap to one known after it. That each page holds
a row of the one before proves that nothing lies between them. That a venue
tells no more proves nothing: it may have forgotten what was before.

A stretch is a range of ids where the venue is asked by id, else of time: then
what a page says of the last instant in it may be cut off, and is not counted.

Pure: what is to be asked for is returned, what was answered is handed in.
Times are the venue's clock, nanoseconds since 1970 UTC.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from recorder.errors import WireError
from recorder.model import Trade
from recorder.source import History, Wanted


_SECOND_NS: Final = 1_000_000_000

Stretch = tuple[int, int]
"""First and last id, or instant, of which nothing is left out."""


class Known(NamedTuple):
    """A trade, as far as bridging asks; without an id, an instant.

    Attributes:
        ns: When it was executed.
        trade_id: Its id.
        number: Its running number within the market.
    """

    ns: int
    trade_id: int | None = None
    number: int | None = None


class Bridge:
    """One stretch of one market's trades, from before a gap to after it.

    Args:
        history: How the venue is asked.
        low: The last trade known before the gap, or an instant before it.
        high: The first one known after it; None if there is none: then all
            is wanted that the venue tells until now.

    Attributes:
        reaches_low: Whether the venue told of what was before the gap.
        reaches_high: Whether it told of what came after the gap.
        left_out: Running numbers that were missing within pages.
        oldest_ns: When the oldest trade was executed that it told of; None if
            it told of none.
    """

    def __init__(self, history: History, low: Known, high: Known | None) -> None:
        self.reaches_low = False
        self.reaches_high = False
        self.left_out = 0
        self.oldest_ns: int | None = None
        self._history = history
        self._is_timed = history.paging == "time"
        self._low = low
        self._high = high
        self._low_key = low.ns if self._is_timed else low.trade_id
        self._high_key = None
        if high is not None:
            self._high_key = high.ns if self._is_timed else high.trade_id
        self._told: list[Stretch] = []
        self._numbers: dict[int, int | None] = {}
        self._asked: Wanted | None = None
        self._last_ids: set[int] = set()
        self._had = 0  # rows of the range of time that was asked for last
        self._is_falling = True  # whether the venue begins with the newest
        self._newest_ns = -1
        self._top_ns: int | None = None
        self._is_stuck = False

    @property
    def is_bridged(self) -> bool:
        """Whether nothing can be missing between the two ends."""
        low, high = self._low_key, self._high_key
        if low is None or high is None or self.left_out:
            return False
        is_seen = self.reaches_low and self.reaches_high
        return is_seen and any(a <= low and high <= b for a, b in self._told)

    @property
    def missing(self) -> int | None:
        """How many trades are missing, by their running numbers.

        None if the venue has none, or they do not tell.
        """
        numbers = [self._low.number]
        for edges in self._told:
            numbers += [self._numbers.get(edge) for edge in edges]
        numbers.append(None if self._high is None else self._high.number)
        total = self.left_out
        for below, above in zip(numbers[::2], numbers[1::2], strict=True):
            if below is None or above is None:
                return None
            total += max(0, above - below - 1)
        return total

    @property
    def holes(self) -> list[Stretch]:
        """Ids between which nothing was told, those not included."""
        low, high = self._low_key, self._high_key
        if self._is_timed or low is None or high is None:
            return []
        edges = [low, *(edge for told in self._told for edge in told), high]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        return [(below, above) for below, above in pairs if below < above]

    def next(self) -> Wanted | None:
        """Return what to ask for next; None if it is bridged, or no more is told."""
        if self._is_stuck or self.left_out or self.is_bridged:
            return None
        limit = self._history.page_rows
        match self._history.paging:
            case "until_id":
                lowest = self._stretch_of(self._high_key)
                until = self._high_key if lowest is None else lowest[0]
                asked = Wanted(limit=limit, until_id=until)
            case "since_id":
                highest = self._stretch_of(self._low_key)
                since = self._low_key if highest is None else highest[1]
                asked = Wanted(limit=limit, since_id=since)
            case "time":
                asked = self._hole()
        if asked == self._asked:  # it has told all that it tells
            self._is_stuck = True
            return None
        self._asked = asked
        return asked

    def _hole(self) -> Wanted:
        """Return how to ask for the first time that nothing is known of."""
        start, end = self._low.ns, self._high_key
        if (below := self._stretch_of(start)) is not None:
            start = below[1]
        for first, _ in self._told:
            if first > start:
                end = first
                break
        from_ns: int | None = start // _SECOND_NS * _SECOND_NS
        if below is None and self._low.trade_id is None:
            # How far back the last one before lies, nobody knows.
            from_ns = None
        to_ns = None if end is None else -(-end // _SECOND_NS) * _SECOND_NS
        before = self._asked
        is_same = before and (before.from_ns, before.to_ns) == (from_ns, to_ns)
        return Wanted(
            limit=self._history.page_rows,
            from_ns=from_ns,
            to_ns=to_ns,
            # One of them again proves that the venue goes on where it ended.
            skip=max(0, self._had - 1) if is_same else 0,
        )

    def _stretch_of(self, key: int | None) -> Stretch | None:
        if key is None:
            return None
        return next((told for told in self._told if told[0] <= key <= told[1]), None)

    def take(self, trades: Sequence[Trade[str]]) -> list[tuple[int, Trade[str]]]:
        """Take the answer to what was asked for last.

        Args:
            trades: The page, in the venue's order.

        Returns:
            Those between the two ends, with their places in the page.

        Raises:
            WireError: If a trade has no id or no time, or none of the ids
                that were asked for.
        """
        asked = self._asked
        if asked is None:
            raise ValueError("ask with next() first")
        page = [_known(trade, asked) for trade in trades]
        ids = {known.trade_id or 0 for known in page}
        # Ranges of time lie beside each other by themselves.
        is_next = bool(self._last_ids) and (not self._is_timed or asked.skip > 0)
        if not ids or (is_next and self._last_ids.isdisjoint(ids)):
            # It does not go on where it ended, or tells nothing at all.
            self._is_stuck = True
        else:
            before = list(self._told)
            self._lay(page, asked)
            # The same once more, though they were to be passed over.
            is_again = asked.skip > 0 and len(ids) > 1 and ids <= self._last_ids
            self._is_stuck = is_again and before == self._told
        self._last_ids = ids
        places = enumerate(zip(trades, page, strict=True))
        return [(at, trade) for at, (trade, known) in places if self._is_within(known)]

    def _lay(self, page: Sequence[Known], asked: Wanted) -> None:
        """Lay a page beside what was told before."""
        self.left_out += _left_out(page)
        times = [known.ns for known in page]
        self.oldest_ns = min(
            times[0] if self.oldest_ns is None else self.oldest_ns, *times
        )
        self._had = asked.skip + len(page)
        if (first := page[0]) != (last := page[-1]):
            self._is_falling = (first.ns, _id_of(first)) >= (last.ns, _id_of(last))
        self._reach(page, asked)
        self._newest_ns = max(self._newest_ns, *times)
        if self._is_timed:
            stretch = self._time_of(page, asked, min(times), max(times))
        else:
            rows = sorted(page, key=_id_of)
            stretch = _id_of(rows[0]), _id_of(rows[-1])
            for row in (rows[0], rows[-1]):
                self._numbers[_id_of(row)] = row.number
        if stretch[0] <= stretch[1]:
            self._told = _joined([*self._told, stretch])

    def _reach(self, page: Sequence[Known], asked: Wanted) -> None:
        """Note whether a page reaches the ends."""
        low, high = self._low, self._high
        below = [known for known in page if _is_at_or_below(known, low)]
        if below:
            self.reaches_low = True
            if self._low_key is None:
                self._low_key = max(map(_id_of, below))
        if high is not None:
            above = (known for known in page if _is_at_or_below(high, known))
            self.reaches_high = self.reaches_high or any(above)
            return
        last = max(known.ns if self._is_timed else _id_of(known) for known in page)
        is_newest = asked.until_id is None and asked.to_ns is None and not asked.skip
        if self._history.paging == "since_id":
            is_newest = asked.since_id == last  # nothing has come after it
        elif self._is_timed and not self._is_falling:
            is_all = len(page) == 1 and last <= self._newest_ns
            is_newest = asked.to_ns is None and is_all
        if is_newest and self._high_key is None:
            self._high_key, self.reaches_high = last, True

    def _time_of(
        self, page: Sequence[Known], asked: Wanted, oldest_ns: int, newest_ns: int
    ) -> Stretch:
        """Return the time of which a page leaves nothing out."""
        start = asked.from_ns or 0
        is_short = len(page) < asked.limit
        if not asked.skip or not self._is_falling:
            self._top_ns = newest_ns if asked.to_ns is None else asked.to_ns
        end = self._top_ns or newest_ns
        if self._is_falling:
            reaches = any(_is_at_or_below(known, self._low) for known in page)
            return (start if reaches and is_short else oldest_ns + 1), end
        high = self._high
        reaches = self.reaches_high
        if high is not None:
            reaches = any(_is_at_or_below(high, known) for known in page)
        return start, (end if reaches and is_short else newest_ns - 1)

    def _is_within(self, known: Known) -> bool:
        low, high = self._low, self._high
        if _is_at_or_below(known, low):
            return False
        return high is None or not _is_at_or_below(high, known)


def _known(trade: Trade[str], asked: Wanted) -> Known:
    trade_id, ns = trade.trade_id, trade.ts_event
    if trade_id is None or ns is None:
        raise WireError("a trade without an id or without a time")
    since, until = asked.since_id, asked.until_id
    if (since is not None and trade_id < since) or (
        until is not None and trade_id > until
    ):
        raise WireError(f"trade {trade_id}, which was not asked for")
    return Known(ns, trade_id, trade.market_trade_id)


def _id_of(known: Known) -> int:
    return known.trade_id or 0


def _is_at_or_below(known: Known, end: Known) -> bool:
    """Whether a trade is another one, or came before it: by id, else by time."""
    if known.trade_id is not None and end.trade_id is not None:
        return known.trade_id <= end.trade_id
    return known.ns <= end.ns


def _left_out(page: Iterable[Known]) -> int:
    """Return how many running numbers are missing within a page."""
    rows = sorted(set(page), key=_id_of)
    total = 0
    for below, above in pairwise(rows):
        if below.number is not None and above.number is not None:
            total += max(0, above.number - below.number - 1)
    return total


def _joined(stretches: Iterable[Stretch]) -> list[Stretch]:
    """Return stretches, sorted, those that touch as one."""
    joined: list[Stretch] = []
    for first, last in sorted(stretches):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined
