"""Healing one gap of one chain: ask, lay beside what is stored, store what is new.

A gap counts as healed only if it is proved that nothing is missing in it any
more (`bridge`, `kline_bridge`). What could be had is stored even where it is not.
"""

import asyncio
from collections.abc import Container, Sequence
from typing import Final, Literal, Protocol

import msgspec

from recorder.capture.backfill_asking import Asker, RefusedToTellError
from recorder.capture.backfill_page import Page
from recorder.capture.backfill_stored import EARLIER_NS, Stored
from recorder.capture.bridge import Bridge, Known
from recorder.capture.kline_bridge import KlineBridge, closed_in, with_pushed
from recorder.clock import Clock
from recorder.counts import counted
from recorder.errors import TransportError, WireError
from recorder.model import Chain, Gap, Kline, Trade
from recorder.source import History, PastEvent, Source, table_of
from recorder.times import show_time


PAGES_MAX: Final = 5_000
"""Pages asked for in one gap at most: some five million trades."""

FRESH_ROWS: Final = 20_000
"""So many rows are stored before what is stored is looked at anew."""


NOT_STARTED: Final = "not_started"
"""Reason of gaps that may lie before all that was ever recorded."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How soon and how often a gap is asked about.

    Attributes:
        overlap_seconds: How far outside a gap things lie that are to be told
            again: pushes overtake one another, and clocks disagree.
        first_seconds: How long after its end it is first asked about.
        settled_seconds: So long after its end a market in which nothing came
            since is believed to have been quiet.
        retry_seconds: Pauses between attempts.
    """

    overlap_seconds: float = 5.0
    first_seconds: float = 7.0
    settled_seconds: float = 60.0
    retry_seconds: tuple[float, ...] = (15.0, 60.0, 300.0, 900.0, 3_600.0)


class Keeper(Protocol):
    """Where healed rows go."""

    def frame(self, page: Page) -> tuple[str, int]:
        """Return the name of an answer: ``conn`` and ``seq``."""
        ...  # pragma: no cover - protocol

    def put(
        self, page: Page, frame: tuple[str, int], idx: int, event: PastEvent
    ) -> None:
        """Store a row."""
        ...  # pragma: no cover - protocol

    def revise(self, gap: Gap) -> None:
        """Store a revision of a gap."""
        ...  # pragma: no cover - protocol

    async def stored(self) -> Stored:
        """Return the store once all is in it that was put or pushed until now."""
        ...  # pragma: no cover - protocol

    def pushed(self, market: str) -> Container[int]:
        """Return ids of trades pushed since then."""
        ...  # pragma: no cover - protocol

    async def ease(self) -> None:
        """Wait while too many rows wait for the disk."""
        ...  # pragma: no cover - protocol


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one chain's part of a gap.

    Attributes:
        chain: The chain.
        state: ``healed``; ``partial``: something is still missing, or may be,
            and the venue does not tell it; ``later``: it may tell it later;
            ``none``: nothing of the chain was ever recorded before the gap.
        rows: How many were stored.
        text: What was done, or why not, in words.
        is_trouble: Whether the venue could not be asked.
    """

    chain: Chain
    state: Literal["healed", "partial", "later", "none"]
    rows: int = 0
    text: str = ""
    is_trouble: bool = False


class Healer:
    """Heals gaps of one feed, one after another.

    Args:
        source: The feed.
        asker: Asks the venue.
        keeper: Takes rows.
        pace: How far outside a gap to look.
        clock: Says how old a gap is.
    """

    def __init__(
        self, source: Source, asker: Asker, keeper: Keeper, pace: Pace, clock: Clock
    ) -> None:
        self._source = source
        self._asker = asker
        self._keeper = keeper
        self._pace = pace
        self._clock = clock
        self._put: set[object] = set()
        self._put_total = 0
        self._stored: Stored | None = None

    async def begin(self) -> Stored:
        """Look at the store as it is now, before some gaps are healed."""
        self._put.clear()
        self._stored = await self._keeper.stored()
        return self._stored

    async def heal(self, gap: Gap, chain: Chain, had: int = 0) -> Outcome:
        """Heal a gap of a chain that has a history, as far as the venue tells it.

        Args:
            gap: It has ended.
            chain: The chain.
            had: Rows that earlier attempts stored.

        Returns:
            What became of it; its rows are those of all attempts.

        Raises:
            StoreError: If the store cannot be read.
        """
        history = history_of(self._source, chain)
        if history is None or gap.ended_at is None:
            raise ValueError(f"{chain.words} cannot be healed")
        stored = self._stored or await self.begin()
        self._put_total = had
        if gap.reason == NOT_STARTED and not stored.was_recorded(
            gap.job, chain, gap.started_at
        ):
            return Outcome(chain=chain, state="none")
        try:
            if history.table == "trades":
                return await self._trades(history, gap, chain, stored)
            return await self._klines(history, gap, chain, stored)
        except (RefusedToTellError, WireError) as error:
            state: Literal["partial", "later"] = "partial"
            why = str(error)
        except TransportError as error:
            state, why = "later", f"the venue could not be asked: {error}"
        return Outcome(
            chain=chain,
            state=state,
            rows=self._put_total,
            text=why,
            is_trouble=state == "later",
        )

    # Trades --------------------------------------------------------------

    async def _trades(
        self, history: History, gap: Gap, chain: Chain, stored: Stored
    ) -> Outcome:
        ended_at = gap.ended_at or gap.started_at
        overlap_ns = int(self._pace.overlap_seconds * 1e9)
        low, high, since_ns = await asyncio.to_thread(
            stored.ends, chain.market, gap.started_at, ended_at, overlap_ns
        )
        if low is None:
            low = Known(gap.started_at - overlap_ns)
        asked_at = self._clock.now_ns()
        bridge = Bridge(history, low, high)
        for _ in range(PAGES_MAX):
            wanted = bridge.next()
            if wanted is None:
                break
            page = await self._asker.page(history, chain, wanted)
            trades = [event for event in page.events if isinstance(event, Trade)]
            await self._put_trades(chain, page, bridge.take(trades), since_ns)
        settled_at = ended_at + int(self._pace.settled_seconds * 1e9)
        is_early = high is None and asked_at < settled_at
        missing = bridge.missing
        if missing:
            # Of those around the gap, which the venue did not tell, we have some.
            missing -= await asyncio.to_thread(
                stored.trades_within, chain.market, bridge.holes, since_ns
            )
        return self._judged(chain, bridge, missing, is_early=is_early)

    def _judged(
        self, chain: Chain, bridge: Bridge, missing: int | None, *, is_early: bool
    ) -> Outcome:
        rows = self._put_total
        if bridge.is_bridged and not is_early:
            text = (
                f"{counted(rows, 'trade')} fetched" if rows else "nothing was missing"
            )
            return Outcome(chain=chain, state="healed", rows=rows, text=text)
        state: Literal["partial", "later"] = "partial"
        if bridge.left_out:
            why = (
                f"the venue leaves {bridge.left_out} of its own running numbers out "
                "there as well"
            )
        elif not bridge.reaches_low and bridge.oldest_ns is not None:
            why = f"the venue tells no trade before {show_time(bridge.oldest_ns)}"
        elif not bridge.reaches_low:
            why = "the venue tells no trades of that time"
        elif is_early or not bridge.reaches_high:
            state, why = "later", "the venue does not tell yet what came after it"
        else:
            why = "what the venue tells has a hole itself"
        trades = counted(rows, "trade")
        if missing and missing > 0:
            trades = f"{rows:,} of at least {counted(rows + missing, 'trade')}"
        return Outcome(
            chain=chain,
            state=state,
            rows=rows,
            text=f"{trades} fetched; {why}",
        )

    async def _put_trades(
        self,
        chain: Chain,
        page: Page,
        trades: Sequence[tuple[int, Trade[str]]],
        since_ns: int,
    ) -> None:
        """Store those trades of a page that are not stored."""
        if len(self._put) > FRESH_ROWS:
            await self.begin()
        if self._stored is None:
            raise ValueError("begin first")
        ids = [trade.trade_id for _, trade in trades if trade.trade_id is not None]
        known = await asyncio.to_thread(
            self._stored.trade_ids, chain.market, ids, since_ns
        )
        frame = self._keeper.frame(page)
        pushed = self._keeper.pushed(chain.market)
        for place, trade in trades:
            key = chain.market, trade.trade_id
            if trade.trade_id in known or trade.trade_id in pushed or key in self._put:
                continue
            self._put.add(key)
            self._put_row(page, frame, place, trade)
        await self._keeper.ease()

    # Klines --------------------------------------------------------------

    async def _klines(
        self, history: History, gap: Gap, chain: Chain, stored: Stored
    ) -> Outcome:
        step = history.step_ns(chain)
        if step is None:
            why = "its intervals have no fixed length"
            return Outcome(chain=chain, state="partial", text=why)
        ended_at = gap.ended_at or gap.started_at
        overlap_ns = int(self._pace.overlap_seconds * 1e9)
        wanted = closed_in(gap.started_at, ended_at, step, overlap_ns)
        pushed = await asyncio.to_thread(
            stored.kline_ends, chain, gap.started_at, ended_at
        )
        wanted = with_pushed(wanted, *pushed)
        told = await asyncio.to_thread(
            stored.klines, chain, wanted, gap.started_at - EARLIER_NS
        )
        closed = {at for at, rows in told.items() if any(row[0] for row in rows)}
        reach_ns = history.reach_ns(chain)
        oldest_ns = 0 if reach_ns is None else self._clock.now_ns() - reach_ns
        bridge = KlineBridge(
            wanted,
            closed,
            history.page_rows,
            slack_ns=overlap_ns,
            settled_ns=int(self._pace.settled_seconds * 1e9),
            oldest_ns=oldest_ns,
        )
        while (asked := bridge.next()) is not None:
            page = await self._asker.page(history, chain, asked)
            klines = [event for event in page.events if isinstance(event, Kline)]
            frame = self._keeper.frame(page)
            for place, kline in bridge.take(klines, page.asked_at):
                key = chain, kline.open_at
                is_stored = any(
                    row[1:] == _values(kline) for row in told.get(kline.open_at, ())
                )
                if not is_stored and key not in self._put:
                    self._put.add(key)
                    self._put_row(page, frame, place, kline)
            await self._keeper.ease()
        return self._judged_klines(chain, bridge, is_any=bool(wanted))

    def _judged_klines(
        self, chain: Chain, bridge: KlineBridge, *, is_any: bool
    ) -> Outcome:
        rows = self._put_total
        text = f"{counted(rows, 'closed kline')} fetched"
        if bridge.is_bridged:
            if not is_any:
                text = "none closed in it, and later pushes tell all of the open one"
            return Outcome(chain=chain, state="healed", rows=rows, text=text)
        state: Literal["partial", "later"] = "partial"
        if bridge.is_elsewhere:
            why = "the venue's intervals begin at other times than multiples of them"
        elif bridge.forgotten:
            why = f"the venue does not tell {bridge.forgotten} more, nor any before"
        else:
            state = "later"
            why = f"{counted(bridge.unsettled, 'kline')} may be told later"
        return Outcome(chain=chain, state=state, rows=rows, text=f"{text}; {why}")

    def _put_row(
        self, page: Page, frame: tuple[str, int], place: int, event: PastEvent
    ) -> None:
        self._put_total += 1
        self._keeper.put(page, frame, place, event)


def history_of(source: Source, chain: Chain) -> History | None:
    """Return how what a chain lost is had afterwards; None if it is not."""
    table = table_of(chain.stream)
    if not chain.market:
        return None
    return next((rule for rule in source.history if rule.table == table), None)


def _values(kline: Kline[str]) -> tuple[object, ...]:
    """Return the numbers of a kline as they are stored."""
    texts = (kline.open, kline.high, kline.low, kline.close)
    others = (kline.volume, kline.turnover)
    try:
        return *map(float, texts), *(None if t is None else float(t) for t in others)
    except ValueError:
        return ()  # the store will say what is wrong with it
