"""One connection, as the session sees it: what it carries and what to send."""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, Protocol

from recorder.model import Chain
from recorder.source import Dialogue, Request, Verdict


if TYPE_CHECKING:
    from recorder.capture.plain import Form


Opcode = Literal["text", "binary", "http"]


ANSWERS_MAX: Final = 1_000
"""Requests that may wait to be sent, beside two for each chain."""


class Twins(Protocol):
    """Two connections that carry the same for a while."""

    @property
    def waiting_since(self) -> int | None:
        """When the oldest row came that is not stored yet."""
        ...  # pragma: no cover - protocol

    def takes(
        self,
        link: "Link",
        ts_recv: int,
        seq: int,
        idx: int,
        item: object,
        payload: bytes,
    ) -> bool:
        """Return whether a row of one of the two is not to be stored now."""
        ...  # pragma: no cover - protocol

    def spoiled(self, link: "Link", first: int, end: int, detail: str) -> None:
        """Note a frame of one that says nothing, and when its rows may have come."""
        ...  # pragma: no cover - protocol

    def accepted(self, link: "Link", chain: Chain) -> None:
        """Note that a chain of which nothing is recorded was accepted on one."""
        ...  # pragma: no cover - protocol


class Link:
    """One connection, as the session sees it.

    Attributes:
        conn: Name of the connection, ``<run>.<n>``.
        outbox: Requests to be sent, oldest first.
        accepted: Chains that the venue accepted on it, and when.
        refused: Chains that the venue refused on it alone, with its words.
        unanswered: Until when chains that were asked for may stay unanswered.
        probed: Chains that were asked for once more and not answered yet. No
            answer is no harm: they were accepted before.
        sent: How many frames that were sent have been kept.
        is_dead: True once the session wants the connection closed.
        leaving: Why the venue will close it soon; None if it did not say so.
        verdict: What the feed wants done after its end; None for no opinion.
        first: The connection that it is to replace, while that one lives.
        second: The one that is to replace it.
        idle: Chains for which the other of the two is in charge.
        twins: Those of its handovers of which rows may still come twice.
        behind_since: Since when much has lain unread in its socket at every
            look, nanoseconds; None if it does not.
        doubted_at: Since when frames were read late; None if they were not,
            or if it was heard of long after, at ``settled_at`` at least.
        form: What its plain frames look like; None if it has none.
    """

    __slots__ = (
        "accepted",
        "behind_since",
        "bytes_total",
        "chains",
        "conn",
        "dialogue",
        "doubted_at",
        "first",
        "form",
        "idle",
        "is_dead",
        "last_at",
        "leaving",
        "offset_ms",
        "opened_at",
        "outbox",
        "probed",
        "refused",
        "second",
        "sent",
        "seq",
        "settled_at",
        "twins",
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
        self.accepted: dict[Chain, int] = {}
        self.refused: dict[Chain, str] = {}
        self.unanswered: dict[Chain, int] = {}
        self.probed: set[Chain] = set()
        self.is_dead = False
        self.leaving: str | None = None
        self.verdict: Verdict | None = None
        self.why_dead: str | None = None
        self.first: Link | None = None
        self.second: Link | None = None
        self.idle: set[Chain] = set()
        self.twins: tuple[Twins, ...] = ()
        self.behind_since: int | None = None
        self.doubted_at: int | None = None
        self.settled_at: int | None = None
        self.form: Form | None = None

    @property
    def sure_at(self) -> int:
        """Last instant of which, if it has ended since, all that was sent is here."""
        if self.doubted_at is None:
            return self.last_at
        return min(self.last_at, self.doubted_at)

    def in_charge(self, chains: Sequence[Chain]) -> list[Chain]:
        """Return those of some chains for which something is to be done over it."""
        return [chain for chain in chains if chain not in self.idle]

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
