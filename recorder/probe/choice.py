"""What to probe where nothing was named: a lively market, every stream."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from recorder.capture.market_lists import choose_markets
from recorder.capture.plan import CapturePlan, check_url, plan_capture, read_secrets
from recorder.capture.rest import fetch_once
from recorder.config import CaptureConfig
from recorder.errors import ConfigError, TransportError, WireError
from recorder.model import Market
from recorder.source import (
    Secrets,
    Source,
    StreamKind,
    canonical_stream,
    resolve_options,
    table_of,
)
from recorder.sources import load


LIVELY: Final = "BTC_USDT"
"""The market to take if the venue has it, or does not say what it has."""


class Choice(NamedTuple):
    """What is to be probed.

    Attributes:
        plan: Checked; its store and job mean nothing.
        notes: What was chosen and left out, in words.
    """

    plan: CapturePlan
    notes: tuple[str, ...]


async def choose(
    source: str,
    *,
    markets: Sequence[str] = (),
    streams: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
    ws_url: str | None = None,
    rest_url: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Choice:
    """Return what to probe, with all that was not named chosen.

    Args:
        source: Name of the feed.
        markets: Names and patterns; none for a lively one.
        streams: ``NAME[:PARAMETER]``; none for one of each kind.
        options: What ``-O`` gave.
        ws_url: Instead of the feed's own address.
        rest_url: Instead of the feed's own address.
        environ: Holds the keys; None for the environment of the process.

    Raises:
        ConfigError: As `plan_capture` does, or if patterns find nothing.
        TransportError: If the list to look patterns up in cannot be had.
    """
    feed = load(source)
    check_url("--rest-url", rest_url)
    settings = resolve_options(feed, options or {})
    environ = os.environ if environ is None else environ
    notes: list[str] = []
    if not streams:
        streams, left_out = _each_stream(feed, read_secrets(feed, environ))
        notes += left_out
    has_markets = {kind.name: kind.has_markets for kind in feed.streams}
    chosen = [table_of(canonical_stream(feed, text)) for text in streams]
    if not markets and any(has_markets[name] for name in chosen):
        address = rest_url or feed.rest_url.format_map(settings)
        market, why = await _a_market(feed, settings, address)
        markets = (market,)
        notes.append(f"-m was not given: {market} is taken, {why}")
    config = CaptureConfig(
        source=source,
        markets=tuple(markets),
        streams=tuple(streams),
        store=Path(),
        options=dict(options or {}),
        ws_url=ws_url,
        rest_url=rest_url,
        job="probe",
    )
    # Whoever probes is there to see that the list cannot be had.
    plan = await choose_markets(plan_capture(config, environ), patience_seconds=0)
    return Choice(plan, tuple(notes))


def _each_stream(
    feed: Source, secrets: Secrets
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a stream of each kind, and what is to be said of those left out."""
    streams, notes = [], []
    for kind in feed.streams:
        missing = [name for name in kind.needs if name not in secrets]
        if missing:
            notes.append(f"{kind.name} is left out: {_variables(feed, missing)}")
        else:
            streams.append(_usual(kind))
    if not streams:
        raise ConfigError(f"all streams of {feed.name} need keys; {notes[0]}")
    return tuple(streams), tuple(notes)


def _variables(feed: Source, names: Sequence[str]) -> str:
    variables = [secret.env for secret in feed.secrets if secret.name in names]
    return f"set {' and '.join(variables)} to probe it"


def _usual(kind: StreamKind) -> str:
    if not kind.parameters:
        return kind.name
    return f"{kind.name}:{kind.default or kind.parameters[0]}"


async def _a_market(
    feed: Source, settings: Mapping[str, str], rest_url: str
) -> tuple[str, str]:
    """Return a market that is likely to be lively, and why it is this one."""
    rule = feed.market_list
    if rule is None:
        return LIVELY, "for the source does not list its markets"
    try:
        listed = rule.decode(await fetch_once(rest_url, rule.request(settings)))
    except (TransportError, WireError) as error:
        return LIVELY, f"for the list of markets could not be had: {error}"
    traded = [market for market in listed if rule.is_traded(market)]
    if not traded:
        return LIVELY, "for none of the markets listed is traded"
    return min(traded, key=_rank).market, f"of {len(traded)} that are traded"


def _rank(market: Market[str]) -> tuple[bool, bool]:
    """Order markets: the lively one first, then those of its base."""
    base = LIVELY.partition("_")[0]
    return market.market != LIVELY, not market.market.startswith(base)
