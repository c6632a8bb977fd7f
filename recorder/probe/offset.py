"""How far a venue's clock is from ours, as far as it can be proved.

Two things tell. An answer was made after we asked and before it came, so the
time in it says from both sides how the clocks differ, to the length of the
round trip. A push was made before it came, so it says only that the venue's
clock is not further behind than the push seems late. Times are cut to the
digits that the venue sends, so the true one may be later by as much.

Nothing is averaged: bounds are met by every message, and the closest hold.
"""

from recorder.probe.report import ClockReport


_SECOND_NS = 1_000_000_000
_STEPS_NS = (_SECOND_NS, 1_000_000, 1_000)


class Offset:
    """The bounds of venue's clock minus ours."""

    def __init__(self) -> None:
        self._least: int | None = None
        self._most: int | None = None
        self._ping: int | None = None
        self._answers = 0
        self._pushes = 0

    def pushed(self, ts_event: int, ts_recv: int, *, doubt_ns: int = 0) -> None:
        """Note a push.

        Args:
            ts_event: Venue's clock when it was made, nanoseconds.
            ts_recv: Our clock when it came, nanoseconds.
            doubt_ns: By how much the first may be wrong.
        """
        self._pushes += 1
        self._not_less(ts_event - doubt_ns - ts_recv)

    def answered(
        self, asked_at: int, ts_event: int | None, ts_recv: int, *, doubt_ns: int = 0
    ) -> None:
        """Note an answer to a request of ours.

        Args:
            asked_at: Our clock before the request was sent, nanoseconds.
            ts_event: Venue's clock at the answer, nanoseconds; None if it
                does not tell.
            ts_recv: Our clock when it came, nanoseconds.
            doubt_ns: By how much the second may be wrong.
        """
        took = ts_recv - asked_at
        self._ping = took if self._ping is None else min(self._ping, took)
        if ts_event is None:
            return
        self._answers += 1
        self._not_less(ts_event - doubt_ns - ts_recv)
        most = ts_event + doubt_ns + resolution_ns(ts_event) - asked_at
        self._most = most if self._most is None else min(self._most, most)

    def _not_less(self, least: int) -> None:
        self._least = least if self._least is None else max(self._least, least)

    def report(self) -> ClockReport:
        """Return what is known.

        Machines of a venue have clocks of their own: where bounds exclude each
        other, they are given in their order.
        """
        least, most = self._least, self._most
        if least is not None and most is not None and least > most:
            least, most = most, least
        return ClockReport(
            at_least_seconds=_seconds(least),
            at_most_seconds=_seconds(most),
            answers=self._answers,
            pushes=self._pushes,
            ping_seconds=_seconds(self._ping),
        )


def resolution_ns(time: int) -> int:
    """Return how coarse a time is, judged by its last digits, nanoseconds."""
    return next((step for step in _STEPS_NS if time % step == 0), 1)


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / _SECOND_NS
