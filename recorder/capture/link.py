"""One connection, as the session sees it: what it carries and what to send."""

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal

from recorder.model import Chain
from recorder.source import Dialogue, Request, Verdict


Opcode = Literal["text", "binary", "http"]


ANSWERS_MAX: Final = 1_000
"""Requests that may wait to be sent, beside two for each chain."""


class Link:
    """One connection, as the session sees it.

    Attributes:
        conn: Name of the connection, ``<run>.<n>``.
        outbox: Requests to be sent, oldest first.
        unanswered: Until when chains that were asked for may stay unanswered.
        probed: Chains that were asked for once more and not answered yet. No
            answer is no harm: they were accepted before.
        sent: How many frames that were sent have been kept.
        is_dead: True once the session wants the connection closed.
        leaving: Why the venue will close it soon; None if it did not say so.
        verdict: What the feed wants done after its end; None for no opinion.
    """

    __slots__ = (
        "bytes_total",
        "chains",
        "conn",
        "dialogue",
        "is_dead",
        "last_at",
        "leaving",
        "offset_ms",
        "opened_at",
        "outbox",
        "probed",
        "sent",
        "seq",
        "unanswered",
        "url",
        "verdict",
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
        self.sent = 0
        self.bytes_total = 0
        self.offset_ms: float | None = None
        self.outbox: deque[Request] = deque()
        self.unanswered: dict[Chain, int] = {}
        self.probed: set[Chain] = set()
        self.is_dead = False
        self.leaving: str | None = None
        self.verdict: Verdict | None = None
        self.why_dead: str | None = None

    def answer(self, requests: Sequence[Request]) -> None:
        """Send requests next, in their order: their answers are awaited.

        A peer that makes us answer faster than we may send is given up.
        """
        if self.is_dead:
            return
        if len(self.outbox) + len(requests) > ANSWERS_MAX + 2 * len(self.chains):
            self.is_dead = True
            self.why_dead = "the venue wants more answers than may be sent"
            self.outbox.clear()
            return
        self.outbox.extendleft(reversed(requests))
