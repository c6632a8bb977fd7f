"""How long a stream is usually silent, learned from its own rows.

A stream that worked and is silent may have stopped while its socket lives, or its
market went quiet. Where nothing else tells of it (`recorder.capture.silence`), its
own past does: one that was never silent for more than a few seconds in hundreds of
looks, and now is for fifty times as long, is asked for once more, in a way that
disturbs nothing. If rows then come at once, in `PROBE_ROWS` seconds or more before
as much time has gone by as it was ever silent, the silence was not the market's.

A market that wakes up by itself does so just then by chance: less than one time in
fifty, of the few times in its life that it is silent for so long. If silences have a
tail so heavy that each second one is more than twice the length, that is one false
gap in a hundred markets, however long they are recorded. After an answer that brings
nothing, nothing can be told; it is asked again when it has been silent for four
times as long.

Not for books: their ids tell what is missing. Times are our clock, nanoseconds.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from recorder.model import Chain


SECOND_NS: Final = 1_000_000_000

LOOK_NS: Final = 5 * SECOND_NS
"""Between two looks at all streams."""

LOOKS_MIN: Final = 100
"""Looks that found rows, before a stream has a usual silence."""

TIMES_LONGER: Final = 50
"""So many times the longest silence is not usual any more."""

SILENCE_MIN_NS: Final = 300 * SECOND_NS
"""And at least so long."""

AT_ONCE_MIN_NS: Final = 5 * SECOND_NS
"""What comes so soon after an answer comes at once."""

GROWTH: Final = 4
"""How much longer the silence before each further question is."""

PROBE_ROWS: Final = 3
"""Seconds with rows that show that a stream works again."""


class Resumed(NamedTuple):
    """A stream that works again since it was asked for once more.

    Attributes:
        chain: The stream.
        since: First instant after its last row before.
        until: When the venue answered.
        usual_ns: The longest that it had been silent before.
    """

    chain: Chain
    since: int
    until: int
    usual_ns: int


class _Habit:
    """What is known of one stream."""

    __slots__ = (
        "answered_at",
        "ask_at",
        "counted_at",
        "last",
        "longest",
        "looks",
        "not_before",
        "rows_seen",
        "since",
    )

    def __init__(self) -> None:
        self.last = 0
        self.not_before = 0
        self.forget()
        self.looks = 0
        self.longest = 0

    def forget(self) -> None:
        """Forget the silence of now: it is explained, or over."""
        self.ask_at = 0
        self.since = 0
        self.answered_at = 0
        self.rows_seen = 0
        self.counted_at = 0


class Usual:
    """Watches streams that no other tells of.

    Args:
        heard: When a row of each was last received; kept by others.
        chains: Those that are watched.
    """

    def __init__(
        self, heard: Mapping[tuple[str, str], int], chains: Iterable[Chain]
    ) -> None:
        self._heard = heard
        self._habits = {chain: _Habit() for chain in chains}
        self._asked: dict[Chain, _Habit] = {}
        self._look_at = 0

    def lost(self, chain: Chain) -> None:
        """Note that nothing of a stream is expected for now: no silence of its own."""
        habit = self._habits.get(chain)
        if habit is not None:
            habit.last = 0
            habit.not_before = self._heard.get(chain, 0)
            habit.forget()
            self._asked.pop(chain, None)

    def begin_anew(self) -> None:
        """Count every silence from the next row on."""
        for chain in self._habits:
            self.lost(chain)

    def answered(self, chain: Chain, at: int) -> None:
        """Note that the venue answered when a stream was asked for once more."""
        habit = self._asked.get(chain)
        if habit is not None and not habit.answered_at:
            habit.answered_at = at

    def take_due(self, now: int) -> list[Chain]:
        """Learn; return streams that are to be asked for once more."""
        if now < self._look_at:
            return []
        self._look_at = now + LOOK_NS
        heard = self._heard
        due: list[Chain] = []
        for chain, habit in self._habits.items():
            at = heard.get(chain, 0)
            if at > max(habit.last, habit.not_before):
                self._learn(chain, habit, at)
            elif habit.last and habit.looks >= LOOKS_MIN and self._is_due(habit, now):
                due.append(chain)
                habit.since = habit.last
                habit.answered_at = habit.rows_seen = habit.counted_at = 0
                self._asked[chain] = habit
        return due

    def _learn(self, chain: Chain, habit: _Habit, at: int) -> None:
        if habit.last and chain not in self._asked:
            habit.looks += 1
            habit.longest = max(habit.longest, at - habit.last)
        habit.last = at
        habit.ask_at = 0

    def _is_due(self, habit: _Habit, now: int) -> bool:
        silence = now - habit.last
        least = habit.ask_at or max(SILENCE_MIN_NS, TIMES_LONGER * habit.longest)
        if silence < least:
            return False
        habit.ask_at = silence * GROWTH
        return True

    def take_resumed(self, now: int) -> list[Resumed]:
        """Return streams that work again since they were asked for."""
        found: list[Resumed] = []
        for chain, habit in list(self._asked.items()):
            until, at = habit.answered_at, self._heard.get(chain, 0)
            if not until:
                if at > habit.since:  # it came by itself
                    self._over(chain, habit)
                continue
            if habit.since < at <= until and not habit.rows_seen:
                self._over(chain, habit)  # before the answer
                continue
            if at > until and at >= habit.counted_at + SECOND_NS:
                habit.rows_seen += 1
                habit.counted_at = at
            if habit.rows_seen >= PROBE_ROWS:
                found.append(Resumed(chain, habit.since + 1, until, habit.longest))
                habit.last = at
                self._asked.pop(chain)
                habit.forget()
            elif now > until + max(AT_ONCE_MIN_NS, habit.longest):
                self._over(chain, habit)
        return found

    def _over(self, chain: Chain, habit: _Habit) -> None:
        """End a trial that showed nothing; what was silent was the market."""
        del self._asked[chain]
        at = self._heard.get(chain, 0)
        if at > habit.since:
            habit.longest = max(habit.longest, at - habit.since)
            habit.last = at
            habit.forget()
