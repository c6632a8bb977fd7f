"""How far Gate's clock is from ours, told by answers in whole seconds.

An answer to ``server.time`` is the second that had begun when it was made,
somewhere between our asking and our reading. So it bounds the offset from
both sides, about a second apart. Several answers have one offset in common:
the bounds that are left narrow down, most quickly if it is asked when the
venue's second is expected to change, as then the answer says on which side
of the expectation the truth lies. What remains is the way there and back.

Only bounds of `PRECISE_NS` are worth a figure: the middle is then 0.1 s off
at most. Clocks drift, so old bounds are widened with time; answers that
contradict each other mean that a clock was set, and all begins anew.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from recorder.source import Heartbeat, Reply, Request, Send, Unrecognized
from recorder.sources._times import (
    SECOND_NS,
    Seconds,
)


PRECISE_NS: Final = 200_000_000
"""How far apart bounds may be that are worth a figure."""

DRIFT_PER_SECOND_NS: Final = 100_000
"""How fast two clocks may part; those of cheap machines do by half of it."""

ASKED_MAX: Final = 8
"""Questions remembered that were not answered yet."""

ROUND_ASKS: Final = 16
"""Questions of one round; each but the first halves what is not known."""

ROUND_NS: Final = 600 * SECOND_NS
"""How often a round begins."""

PAUSE_NS: Final = SECOND_NS
"""Between two questions of a round at least."""

_NEVER: Final = 2**63
_SECOND: Final = msgspec.json.Decoder(Seconds)


class Bounds:
    """Between what the offset lies: the venue's clock minus ours.

    Attributes:
        low: Lower bound, nanoseconds; None before the first answer.
        high: Upper bound, nanoseconds.
    """

    __slots__ = ("_at", "high", "low")

    def __init__(self) -> None:
        self.low: int | None = None
        self.high = 0
        self._at = 0

    @property
    def width(self) -> int:
        """How far the bounds are apart, nanoseconds; endless before an answer."""
        return _NEVER if self.low is None else self.high - self.low

    @property
    def middle(self) -> int | None:
        """The offset as far as it is known, nanoseconds."""
        return None if self.low is None else (self.low + self.high) // 2

    def narrow(self, asked_ns: int, read_ns: int, second: int) -> bool:
        """Take an answer in.

        Args:
            asked_ns: Our clock before the question was sent.
            read_ns: Our clock after the answer was read.
            second: The answer.

        Returns:
            False if it contradicts those before, which are forgotten then.
        """
        low = second * SECOND_NS - read_ns
        high = (second + 1) * SECOND_NS - asked_ns
        drift = (read_ns - self._at) * DRIFT_PER_SECOND_NS // SECOND_NS
        self._at = read_ns
        if self.low is None:
            self.low, self.high = low, high
            return True
        both_low = max(low, self.low - drift)
        both_high = min(high, self.high + drift)
        is_so = both_low <= both_high
        self.low, self.high = (both_low, both_high) if is_so else (low, high)
        return is_so

    def turn_after(self, now_ns: int) -> int:
        """Return when the venue's second is expected to change next, our clock."""
        offset = self.middle or 0
        return now_ns + -(now_ns + offset) % SECOND_NS


class VenueClock:
    """Pings of a connection, and what they tell of the venue's clock.

    Args:
        frame: Makes a request of a method and parameters: its id, its bytes.

    Attributes:
        due_ns: When `questions` has something to send, our clock.
    """

    __slots__ = ("_asked", "_frame", "_left", "_pings", "_round_ns", "bounds", "due_ns")

    def __init__(self, frame: Callable[[str, Sequence[object]], tuple[int, bytes]]):
        self._frame = frame
        self._asked: dict[int, int] = {}
        self._pings = 0
        self._left = ROUND_ASKS
        self._round_ns = 0
        self.bounds = Bounds()
        self.due_ns = _NEVER

    def begin(self, now_ns: int) -> None:
        """Begin to ask, soon after the connection opened."""
        self.due_ns = now_ns + PAUSE_NS

    def ping(self, now_ns: int) -> bytes:
        """Return a frame that makes the venue answer: a ping, or the time, in turn."""
        self._pings += 1
        if self._pings % 2:
            _, payload = self._frame("server.ping", [])
            return payload
        return self._question(now_ns)

    def questions(self, now_ns: int) -> list[Reply]:
        """Return what is to be asked by now; call it when `due_ns` has come."""
        if now_ns >= self._round_ns:
            self._round_ns = now_ns + ROUND_NS
            self._left = ROUND_ASKS
        self._left = max(self._left - 1, 0)
        # Until the answer: the next time is chosen with what it tells.
        self.due_ns = now_ns + ROUND_NS
        return [Send(requests=(Request(payload=self._question(now_ns)),))]

    def answered(self, number: int, result: msgspec.Raw, now_ns: int) -> Reply:
        """Take an answer; return what is known of the venue's clock by now.

        Args:
            number: Id of the question, for which `has_asked` is true.
            result: The answer.
            now_ns: Our clock when it was read, nanoseconds.
        """
        asked_ns = self._asked.pop(number)
        try:
            second = _SECOND.decode(result)
        except msgspec.DecodeError:
            return Unrecognized(error=f"no time: {bytes(result)[:20]!r}")
        is_so = self.bounds.narrow(asked_ns, now_ns, second)
        if not is_so:
            self._left = ROUND_ASKS
        self.due_ns = (
            self.bounds.turn_after(now_ns + PAUSE_NS) if self._left else self._round_ns
        )
        offset = self.bounds.middle
        if offset is None or self.bounds.width > PRECISE_NS:
            return Heartbeat(is_clock_lost=not is_so)
        return Heartbeat(ts_event=now_ns + offset)

    def has_asked(self, number: int | None) -> bool:
        """Return whether a question of this id waits for its answer."""
        return number in self._asked

    def _question(self, now_ns: int) -> bytes:
        number, payload = self._frame("server.time", [])
        self._asked[number] = now_ns
        if len(self._asked) > ASKED_MAX:
            del self._asked[min(self._asked)]
        return payload
