"""A venue's list of markets: asked for, understood, and chosen from."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from recorder.capture.choosing import choose
from recorder.capture.plan import CapturePlan, with_markets
from recorder.capture.rest import fetch_once, without_secrets
from recorder.errors import (
    ConfigError,
    SourceError,
    ThrottledError,
    TransportError,
    WireError,
)
from recorder.model import Market
from recorder.source import HttpRequest, MarketList, Source
from recorder.telemetry import (
    MarketListAwaited,
    MarketsChosen,
    MarketsUntraded,
    PatternUnmatched,
    emit,
)


LIST_SECONDS: Final = 30.0
"""How long an answer may take: lists are large."""

PATIENCE_SECONDS: Final = 120.0
"""How long a start waits for a list that cannot be had."""

PAUSE_FIRST_SECONDS: Final = 1.0
PAUSE_MAX_SECONDS: Final = 60.0

_SHOWN: Final = 5
"""How many markets a line of the log names."""


Fetch = Callable[[str, HttpRequest], Awaitable[bytes]]
"""Asks an address for something; raises `TransportError`."""


async def fetch_list(address: str, request: HttpRequest) -> bytes:
    """Return what a venue answers to a request for its list of markets.

    Raises:
        TransportError: If it cannot be had.
    """
    return await fetch_once(address, request, timeout_seconds=LIST_SECONDS)


def list_of(source: Source) -> MarketList:
    """Return how a venue is asked which markets it has.

    Raises:
        ConfigError: If it does not say.
    """
    if source.market_list is None:
        raise ConfigError(f"{source.name} does not say which markets it has")
    return source.market_list


def decode_list(
    listing: MarketList, address: str, body: bytes
) -> tuple[Market[str], ...]:
    """Return the markets of an answer.

    Args:
        listing: Knows what answers look like.
        address: Who answered.
        body: What was answered.

    Raises:
        SourceError: If it is no list of markets.
    """
    try:
        return listing.decode(body)
    except WireError as error:
        raise SourceError(
            f"what {without_secrets(address)} answers is no list of markets "
            f"({error}); check --rest-url"
        ) from error


async def choose_markets(
    plan: CapturePlan,
    *,
    patience_seconds: float | None = PATIENCE_SECONDS,
    fetch: Fetch = fetch_list,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> CapturePlan:
    """Return a plan in which markets stand in the place of patterns.

    Args:
        plan: What is asked for; without patterns it is returned as it is.
        patience_seconds: How long to go on asking for a list that cannot be
            had; None for ever.
        fetch: Asks for the list.
        sleep: Waits so many seconds.

    Raises:
        ConfigError: If nothing is like the patterns.
        TransportError: If the list cannot be had.
        SourceError: If what is answered is no list.
    """
    if not plan.has_patterns:
        return plan
    listed = await _listed(plan, patience_seconds, fetch, sleep)
    return chosen_from(plan, listed)


def chosen_from(plan: CapturePlan, listed: tuple[Market[str], ...]) -> CapturePlan:
    """Return a plan with the markets of a list that its patterns are like.

    Raises:
        ConfigError: If there are none, or more than the venue allows.
    """
    source = plan.source
    choice = choose(plan.config.markets, listed, list_of(source).is_traded)
    if not choice.markets:
        raise ConfigError(
            f"none of the {len(listed):,} markets that {source.name} lists is traded "
            f"and like {' or '.join(map(repr, plan.config.markets))}; "
            f"`recorder markets {source.name}` shows them"
        )
    settled = with_markets(plan, choice.markets)
    for pattern in choice.unmatched:
        emit(PatternUnmatched(source=source.name, pattern=pattern))
    if choice.untraded:
        emit(
            MarketsUntraded(
                source=source.name,
                markets=len(choice.untraded),
                such_as=some_of(choice.untraded),
            )
        )
    emit(
        MarketsChosen(
            source=source.name, markets=len(choice.markets), listed=len(listed)
        )
    )
    return settled


def some_of(markets: tuple[str, ...]) -> str:
    """Return the first of some markets, for a line of the log."""
    return ", ".join(markets[:_SHOWN])


async def _listed(
    plan: CapturePlan,
    patience_seconds: float | None,
    fetch: Fetch,
    sleep: Callable[[float], Awaitable[None]],
) -> tuple[Market[str], ...]:
    """Return the venue's list; ask until it is had, or patience ends."""
    source, listing = plan.source, list_of(plan.source)
    request = listing.request(plan.options)
    pause, waited = PAUSE_FIRST_SECONDS, 0.0
    while True:
        try:
            body = await fetch(plan.rest_url, request)
            return decode_list(listing, plan.rest_url, body)
        except SourceError as exc:
            # To ask again hardly helps; but whoever waits for ever may.
            if patience_seconds is None:
                why, wait = str(exc), pause
            else:
                raise
        except TransportError as exc:
            why = str(exc)
            wait = pause
            if isinstance(exc, ThrottledError):
                wait = max(pause, exc.retry_after_seconds)
            if patience_seconds is not None and waited + wait > patience_seconds:
                raise TransportError(
                    f"cannot look up markets of {source.name}: {why}; try again when "
                    "the venue answers, or name the markets instead of a pattern"
                ) from exc
        emit(MarketListAwaited(source=source.name, why=why, retry_in_seconds=wait))
        await sleep(wait)
        waited += wait
        pause = min(2 * pause, PAUSE_MAX_SECONDS)
