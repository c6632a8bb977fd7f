"""Maintenance that a venue told of, and the gaps that it explains.

What a venue says of itself comes over any of its feeds, and may have been stored
by another process: all of it is looked at (`recorder.capture.hearsay`). A gap that
began while the venue said that it would not work is called ``venue_maintenance``,
also if that is heard only later, as long as the gap lasts.

The rules are those of the view ``outages``: a newer message overrules one of the
same kind and title with the same beginning, or whose beginning had not been
reached; what was canceled is over; without an end it lasts five minutes.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from recorder.model import Chain, LedgerRow, StatusEvent
from recorder.store.ledger import Ledger
from recorder.telemetry import MaintenanceFound, emit
from recorder.times import show_time


KINDS: Final = frozenset({"maintenance", "upgrade"})
"""Kinds of messages that tell of times at which a venue does not work."""

NO_END_NS: Final = 300_000_000_000
"""How long what has no end is taken to last."""

REASON: Final = "venue_maintenance"

EXPLAINED: Final = frozenset({"connect_lost", "stale_stream"})
"""Reasons behind which maintenance may be. Of an upgrade the venue said that it
would close this very connection: nothing else says more."""

_CANCELED: Final = frozenset({"canceled", "cancelled"})
_MATTERS_MAX: Final = 1_000


class _Said(NamedTuple):
    said_at: int
    ends_at: int
    is_canceled: bool


class Notices:
    """What the feeds of one venue said of its maintenance.

    Attributes:
        matters: By kind, title and markets, then by beginning: what was said last.
    """

    def __init__(self) -> None:
        self.matters: dict[tuple[object, ...], dict[int, _Said]] = {}

    def __bool__(self) -> bool:
        return bool(self.matters)

    def see(self, event: StatusEvent, at: int) -> None:
        """Take in a message, in any order.

        Args:
            event: The message.
            at: When it was received, nanoseconds.
        """
        if event.kind not in KINDS or event.starts_at is None:
            return
        about = event.markets or (() if event.market is None else (event.market,))
        # A venue says its last word again to whoever subscribes.
        said_at = at if event.ts_event is None else min(at, event.ts_event)
        ends_at = event.ends_at or event.starts_at + NO_END_NS
        is_canceled = (event.state or "").lower() in _CANCELED
        about_what = event.kind, event.title, tuple(about)
        self._add(about_what, event.starts_at, _Said(said_at, ends_at, is_canceled))

    def take(self, others: "Notices") -> None:
        """Take in what was read elsewhere; newer messages stand."""
        for about_what, matter in others.matters.items():
            for start, said in matter.items():
                self._add(about_what, start, said)

    def _add(self, about_what: tuple[object, ...], start: int, said: _Said) -> None:
        """Take in what was said of a beginning, and forget what that overrules."""
        matter = self.matters.setdefault(about_what, {})
        before = matter.get(start)
        if (before is not None and before.said_at > said.said_at) or any(
            said.said_at < other.said_at < start for other in matter.values()
        ):
            return
        for begin, other in list(matter.items()):
            if other.said_at < said.said_at < begin:
                del matter[begin]
        matter[start] = said
        if len(self.matters) > _MATTERS_MAX:
            del self.matters[next(iter(self.matters))]

    def words_at(self, market: str, at: int) -> str | None:
        """Return what the venue said of a market at a time; None if nothing.

        Args:
            market: The venue's spelling; empty for none in particular.
            at: Our clock, nanoseconds.
        """
        for (kind, title, about), matter in self.matters.items():
            if about and market not in about:  # type: ignore[operator]
                continue
            for start, said in matter.items():
                if start <= at < said.ends_at and not said.is_canceled:
                    span = f"{show_time(start):.19}Z to {show_time(said.ends_at):.19}Z"
                    named = f" ({title})" if title else ""
                    return f"the venue told of {kind} from {span}{named}"
        return None


class Explainer:
    """Calls gaps by what the venue said.

    Args:
        notices: What it said.
        ledger: Has the gaps.
        note: Takes ledger rows to store.
    """

    def __init__(
        self,
        notices: Notices,
        ledger: Ledger,
        note: Callable[[list[LedgerRow]], None],
    ) -> None:
        self._notices = notices
        self._ledger = ledger
        self._note = note

    @property
    def is_at_a_loss(self) -> bool:
        """Whether a gap lasts that something might explain."""
        return any(gap.reason in EXPLAINED for _, gap in self._ledger.gaps_open())

    def explain(self) -> None:
        """Look at the gaps that last."""
        if not self._notices:
            return
        found = 0
        why = None
        for chain, gap in self._ledger.gaps_open():
            if gap.reason not in EXPLAINED:
                continue
            words = self._notices.words_at(chain.market, gap.started_at)
            if words is not None:
                detail = words if gap.detail is None else f"{words}: {gap.detail}"
                self._note(self._ledger.reason_found(chain, REASON, detail))
                found, why = found + 1, words
        if why is not None:
            emit(MaintenanceFound(chains=found, why=why))

    def told(
        self, chains: Iterable[Chain], at: int, why: str, *, is_first: bool
    ) -> None:
        """Note that the venue refused a connection because of maintenance.

        Args:
            chains: What it was to carry.
            at: When.
            why: The venue's words.
            is_first: Whether that is all that was heard since it was lost. If
                so, it was lost because of that, too.
        """
        found = 0
        gaps = dict(self._ledger.gaps_open())
        for chain in chains:
            gap = gaps.get(chain)
            if gap is None or gap.reason in (REASON, "subscription_rejected"):
                continue
            found += 1
            if is_first and gap.reason in EXPLAINED:
                self._note(self._ledger.reason_found(chain, REASON, why))
                continue
            self._note(self._ledger.end_gap(chain, at))
            self._note(self._ledger.lost(chain, REASON, at, detail=why))
        if found:
            emit(MaintenanceFound(chains=found, why=why))
