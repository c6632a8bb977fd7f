"""Make before break: a second connection, opened while the first lives.

`recorder.capture.handover` decides when the first may be left and what of the
second is stored; this module opens, waits and closes.

A venue that said that it will close a connection gets another one as soon as
there can be one, however often that fails, until it closes the first. A
connection that is only renewed goes on if there is no second to be had.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from recorder.capture.handover import Handover
from recorder.capture.life import HANDED_OVER, Life
from recorder.capture.reactions import pause_seconds
from recorder.capture.session import Session
from recorder.clock import Clock
from recorder.errors import TransportError
from recorder.source import Verdict
from recorder.telemetry import (
    HandoverBegan,
    HandoverDelayed,
    HandoverDone,
    HandoverGivenUp,
    emit,
)


JITTER_SECONDS: Final = 0.5
"""So that not all who hear of an upgrade come back at the same moment."""

PAUSE_MAX_SECONDS: Final = 5.0
"""The longest wait between two attempts: nobody says how long the first lives."""

RENEWALS_MAX: Final = 3
"""Attempts at a second connection that nobody but us asked for."""

ASK_AGAIN_SECONDS: Final = 5.0
"""When what brings nothing over the second is asked for once more."""

RENEWAL_SECONDS: Final = 60.0
"""How long a second connection that only renews the first has to be live."""

SIGN_OF_LIFE_SECONDS: Final = 5.0
"""How long the first has to show that it lives when it may be left."""

LOOK_SECONDS: Final = 0.05


class NoSecondError(TransportError):
    """There is no second connection: why, and what is to be done about it."""

    def __init__(self, why: str, verdict: Verdict | None = None) -> None:
        super().__init__(why)
        self.verdict = verdict


class Relay:
    """Hands the chains of one connection over to the next.

    Args:
        session: Knows when the first may be left.
        clock: Gives the time.
        open_second: Opens a connection that is to replace another; raises
            `NoSecondError`.
    """

    def __init__(
        self,
        session: Session,
        clock: Clock,
        open_second: Callable[[Life], Awaitable[Life]],
    ) -> None:
        self._session = session
        self._clock = clock
        self._open_second = open_second

    async def hand_over(self, first: Life) -> Life | None:
        """Replace a connection by another.

        Returns:
            The other; the first was left, or has ended by itself. None if
            there is none: the first goes on, or has ended.
        """
        leaving = first.link.leaving
        why = leaving or "it is to be renewed"
        emit(HandoverBegan(conn=first.link.conn, why=why))
        await _until_over(first, random.uniform(0.0, JITTER_SECONDS))  # noqa: S311
        attempt = 0
        while not first.is_over:
            verdict: Verdict | None = None
            try:
                second = await self._open_second(first)
                if await self._is_taken_over(first, second):
                    return second
                why, verdict = second.why_ended, second.link.verdict
            except NoSecondError as exc:
                why, verdict = str(exc), exc.verdict
            attempt += 1
            if first.link.leaving is None and (
                attempt >= RENEWALS_MAX or (verdict and verdict.action == "stop")
            ):
                emit(HandoverGivenUp(conn=first.link.conn, why=why))
                return None
            wait = pause_seconds(verdict, attempt - 1, self._session.source.backoff)
            if verdict is None or verdict.wait_seconds is None:
                wait = min(wait, PAUSE_MAX_SECONDS)
            emit(
                HandoverDelayed(
                    conn=first.link.conn, why=why, retry_in_seconds=round(wait, 3)
                )
            )
            await _until_over(first, wait)
        return None

    async def _is_taken_over(self, first: Life, second: Life) -> bool:
        """Wait until a second connection stands alone.

        Returns:
            Whether it does; if not, it has ended.
        """
        handover = self._session.handovers.of(first.link)
        loop = asyncio.get_running_loop()
        since, is_in_time = loop.time(), False
        is_asked = False
        while handover is not None and not first.is_over and not second.is_over:
            now = self._clock.now_ns()
            if handover.is_live(now):
                await self._sign_of_life(first, handover)
                is_in_time = not first.is_over
                first.leave(f"{HANDED_OVER} {second.link.conn}: {self._why(first)}")
                await first.over.wait()
                break
            age = loop.time() - since
            if first.link.leaving is None and (
                second.link.refused or age > RENEWAL_SECONDS
            ):
                second.leave(_why_not(handover))
                await second.over.wait()
            elif age > ASK_AGAIN_SECONDS and not is_asked:
                is_asked = True
                self._ask_again(second, handover, now)
            await asyncio.sleep(LOOK_SECONDS)
        if not first.is_over:
            return False
        emit(
            HandoverDone(
                conn=first.link.conn,
                to=second.link.conn,
                seconds=round(loop.time() - since, 3),
                is_in_time=is_in_time,
            )
        )
        return True

    async def _sign_of_life(self, first: Life, handover: Handover) -> None:
        """Give the first time to show that all it was sent has come."""
        loop = asyncio.get_running_loop()
        since, patience = loop.time(), SIGN_OF_LIFE_SECONDS
        while not handover.is_first_heard and not first.is_over:
            if loop.time() - since >= patience:
                return
            if not await first.ask_for_life():  # nothing makes it answer
                patience = self._session.source.silence_seconds
                await asyncio.sleep(LOOK_SECONDS)

    @staticmethod
    def _why(first: Life) -> str:
        return first.link.leaving or "it was to be renewed"

    @staticmethod
    def _ask_again(second: Life, handover: Handover, now: int) -> None:
        """Ask over the second once more for what it does not bring.

        A book that did not come is asked for afresh: a venue may refuse who
        asks for what he has.
        """
        link = second.link
        late = handover.live.blockers(now)
        if books := [chain for chain in late if handover.live.lacks_image(chain)]:
            link.outbox.extend(link.dialogue.resubscribe(books, now))
        if others := [chain for chain in late if chain not in books]:
            link.probed.update(others)
            link.outbox.extend(link.dialogue.ask_again(others, now))


def _why_not(handover: Handover) -> str:
    refused = handover.second.refused
    if refused:
        chain, reason = next(iter(refused.items()))
        return f"the venue refuses {chain.stream} of {chain.market} on it: {reason}"
    return "it did not bring what the connection before does"


async def _until_over(life: Life, seconds: float) -> None:
    """Wait for some time, or until a connection has ended."""
    try:
        async with asyncio.timeout(seconds):
            await life.over.wait()
    except TimeoutError:
        return
