"""What every conversation of Gate's v3 has: answers, pings, the venue's clock."""

from collections.abc import Sequence
from typing import Final

from recorder.model import Chain
from recorder.source import (
    Heartbeat,
    Said,
    Send,
)
from recorder.sources._gate_v3_asking import Requests
from recorder.sources._gate_v3_clock import VenueClock
from recorder.sources._gate_v3_wire import Frame, Numbers, known_of
from recorder.sources._json import (
    unknown_paths,
    value_of,
)


_PONG: Final = b'"pong"'


class Talk:
    """The requests of one connection, and who takes which answer.

    Args:
        chains: What the connection is to carry.

    Attributes:
        numbers: Numbers all requests of the connection.
        requests: Subscriptions.
        clock: Pings, and questions for the time.
        later: What is to be asked again.
    """

    __slots__ = ("clock", "later", "numbers", "requests")

    def __init__(self, chains: Sequence[Chain]) -> None:
        self.numbers = Numbers()
        self.requests = Requests(chains, self.numbers)
        self.clock = VenueClock(self.numbers.frame)
        self.later = self.requests.later

    def answer(self, frame: Frame, now_ns: int) -> Said:
        """Return what an answer means.

        Raises:
            WireError: If its result does not fit.
        """
        # A pong may come with an id that is not the ping's.
        if frame.error is None and bytes(frame.result) == _PONG:
            return [Heartbeat()]
        if frame.id is not None and self.clock.has_asked(frame.id):
            return [self.clock.answered(frame.id, frame.result, now_ns)]
        return [*self.requests.answer(frame, now_ns)]

    def due(self, now_ns: int) -> Said:
        """Return what is to be sent by now, whatever was received."""
        said: Said = []
        if self.later.due_ns <= now_ns:
            said.append(Send(requests=tuple(self.requests.due(now_ns))))
        if self.clock.due_ns <= now_ns:
            said += self.clock.questions(now_ns)
        return said


def unknown_keys(payload: bytes) -> tuple[str, ...]:
    """Return keys of a frame that are not known, as paths.

    Raises:
        WireError: If the frame is not valid JSON.
    """
    return unknown_paths(payload, known_of(value_of(payload, "method")))
