"""One connection, as the session sees it: what it carries and what to send."""

from collections import deque
from collections.abc import Sequence
from typing import Literal

from recorder.model import Chain
from recorder.source import Dialogue, Request


Opcode = Literal["text", "binary", "http"]


class Link:
    """One connection, as the session sees it.

    Attributes:
        conn: Name of the connection, ``<run>.<n>``.
        outbox: Requests to be sent, oldest first.
        unanswered: Until when chains that were asked for may stay unanswered.
        probed: Chains that were asked for once more and not answered yet. No
            answer is no harm: they were accepted before.
        is_dead: True once the session wants the connection closed.
    """

    __slots__ = (
        "bytes_total",
        "chains",
        "conn",
        "dialogue",
        "is_dead",
        "last_at",
        "offset_ms",
        "opened_at",
        "outbox",
        "probed",
        "seq",
        "unanswered",
        "url",
        "why_dead",
    )

    def __init__(
        self, conn: str, url: str, dialogue: Dialogue, chains: Sequence[Chain], at: int
    ) -> None:
        self.conn = conn
        self.url = url
        self.dialogue = dialogue
        self.chains = tuple(chains)
        self.opened_at = at
        self.last_at = at
        self.seq = 0
        self.bytes_total = 0
        self.offset_ms: float | None = None
        self.outbox: deque[Request] = deque()
        self.unanswered: dict[Chain, int] = {}
        self.probed: set[Chain] = set()
        self.is_dead = False
        self.why_dead: str | None = None
