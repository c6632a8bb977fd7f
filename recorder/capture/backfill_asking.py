"""Asking a venue for its history, page by page: by HTTP or over a WebSocket.

What fails is asked for again a few times, later each time. Book snapshots go
first, and no more than a share of what the venue allows is used.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final, TypeAlias

from recorder.capture.backfill_page import Page
from recorder.capture.questions import Questions
from recorder.capture.rest import Budget
from recorder.clock import Clock
from recorder.errors import (
    HttpStatusError,
    QuestionRefusedError,
    SourceError,
    TransportError,
    WireError,
)
from recorder.model import Chain, Kline, Trade
from recorder.source import History, HttpRequest, Question, Secrets, Wanted


TRIES: Final = 4
FIRST_PAUSE_SECONDS: Final = 0.5
SHARE: Final = 0.5
"""Of the calls that a venue allows, so many at most are for history."""

Get: TypeAlias = Callable[[HttpRequest], Awaitable[bytes]]
Ask: TypeAlias = Callable[[], AbstractAsyncContextManager[Questions]]
OnNonsense: TypeAlias = Callable[[Chain, int, bytes, str, str], None]
"""Takes what was about which chain, when it came, what came, what was asked for,
and why it is none."""


class RefusedToTellError(SourceError):
    """The venue will not tell this, however often it is asked."""


class Asker:
    """Asks one venue, one page after another.

    Args:
        options: The feed's, all of them.
        secrets: Are blotted out of what the venue answers.
        get: Asks by HTTP, under the budget of the venue.
        ask: Opens a connection for questions.
        per_second: How fast the venue may be asked by HTTP.
        clock: Gives receive times.
        is_busy: Whether something else is to be asked first.
        on_nonsense: Told of answers that make no sense.
    """

    def __init__(
        self,
        options: Mapping[str, str],
        secrets: Secrets,
        *,
        get: Get,
        ask: Ask,
        per_second: float,
        clock: Clock,
        is_busy: Callable[[], bool],
        on_nonsense: OnNonsense,
    ) -> None:
        self._options = options
        self._secrets = secrets
        self._get = get
        self._ask = ask
        self._budget = Budget(per_second * SHARE, burst=1)
        self._clock = clock
        self._is_busy = is_busy
        self._on_nonsense = on_nonsense
        self._stack = AsyncExitStack()
        self._questions: Questions | None = None

    async def close(self) -> None:
        """Close the connection for questions, if there is one."""
        self._questions = None
        await self._stack.aclose()

    async def page(self, history: History, chain: Chain, wanted: Wanted) -> Page:
        """Return a page.

        Raises:
            RefusedToTellError: If the venue will not tell, or what it tells
                makes no sense again and again.
            TransportError: If no answer could be had, often enough.
        """
        request = history.ask(chain, self._options, wanted)
        pause = FIRST_PAUSE_SECONDS
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._once(history, chain, request)
            except (QuestionRefusedError, HttpStatusError) as error:
                if isinstance(error, QuestionRefusedError) or error.is_refusal:
                    raise RefusedToTellError(
                        f"the venue refuses to tell: {self._secrets.hide(str(error))}"
                    ) from error
                if not tries_left:
                    raise
            except SourceError as error:
                if not tries_left:
                    raise RefusedToTellError(
                        f"what the venue tells makes no sense: {error}"
                    ) from error
            except TransportError:
                if not tries_left:
                    raise
            await asyncio.sleep(pause)
            pause *= 2
        raise AssertionError("a try returns or raises")  # pragma: no cover

    async def _once(
        self, history: History, chain: Chain, request: HttpRequest | Question
    ) -> Page:
        await self._budget.take()
        while self._is_busy():  # noqa: ASYNC110 - books are asked for by others
            await asyncio.sleep(0.05)
        asked_at = self._clock.now_ns()
        if isinstance(request, Question):
            return await self._question(request, asked_at)
        body = self._secrets.hide_bytes(await self._get(request))
        ts_recv = self._clock.now_ns()
        try:
            events = history.decode(chain, body)
        except (WireError, ValueError) as error:
            self._on_nonsense(chain, ts_recv, body, request.target, str(error))
            raise WireError(str(error)) from error
        return Page(asked_at, ts_recv, request.target, "http", body, events)

    async def _question(self, request: Question, asked_at: int) -> Page:
        try:
            if self._questions is None:
                await self._stack.aclose()
                self._questions = await self._stack.enter_async_context(self._ask())
            answer = await self._questions.ask(
                request.query, request.market, request.values
            )
        except QuestionRefusedError:
            raise
        except (TransportError, SourceError):
            await self.close()  # what it would answer next, nobody knows
            raise
        events = tuple(e for e in answer.events if isinstance(e, Trade | Kline))
        ts_recv, body = answer.ts_recv, answer.payload
        return Page(asked_at, ts_recv, request.target, "text", body, events)
