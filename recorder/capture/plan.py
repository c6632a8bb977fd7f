"""What a run is to do, checked, and what it says of itself."""

import os
from collections.abc import Mapping, Sequence
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec

from recorder.capture.choosing import is_exclusion, is_pattern
from recorder.capture.spread import check_connections
from recorder.config import CaptureConfig, job_name
from recorder.errors import ConfigError
from recorder.model import NO_MARKET, Chain
from recorder.source import (
    NO_SECRETS,
    Secrets,
    Source,
    StreamKind,
    canonical_stream,
    resolve_options,
    table_of,
)
from recorder.sources import load


ALL_REFUSED: Final = "the venue refused all that was asked for"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done so far.

    Attributes:
        frames: Frames received.
        dropped: Frames received and dropped because the disk was too slow.
        rows: Durable rows by table.
        books_known: Order books known now.
        books: Order books kept.
        gaps: Gaps seen.
        lag_seconds: Age of the oldest row that is not durable yet.
        connections_open: Connections open now.
        connections: Connections wanted.
        handovers: How often another connection has taken over from one.
        handing_over: Connections that have a second one beside them now.
        audits_equal: How often a book was compared with the venue's, and right.
        audits_mismatched: How often it was not.
    """

    frames: int
    dropped: int
    rows: dict[str, int]
    books_known: int
    books: int
    gaps: int
    lag_seconds: float
    connections_open: int
    connections: int
    handovers: int = 0
    handing_over: int = 0
    audits_equal: int = 0
    audits_mismatched: int = 0


class CaptureResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended.

    Attributes:
        run: Id of the run.
        job: Name of the job.
        config: What was asked for.
        progress: What it did.
        refused: Chains the venue refused, with its words.
        keys_refused: Those among them for which it did not accept our keys.
        chains: How many chains were asked for.
        was_connected: Whether the venue was ever reached.
        failure: Why it stopped before it was told to; None if it did not.
    """

    run: str
    job: str
    config: CaptureConfig
    progress: Progress
    refused: dict[Chain, str]
    keys_refused: frozenset[Chain] = frozenset()
    chains: int
    was_connected: bool
    failure: str | None

    @property
    def why_ended(self) -> str:
        """Why it ended, in words."""
        if self.failure is not None:
            return self.failure
        is_all_refused = self.refused and len(self.refused) == self.chains
        return ALL_REFUSED if is_all_refused else "as told"

    @property
    def exit_code(self) -> int:
        """What the process ends with: 0 done, 1 failed, 2 wrong configuration.

        Keys that are not accepted are a wrong configuration, whatever else went
        well. A venue that ends a recording because a key has expired makes it fail:
        the next start tells of the key.
        """
        if self.refused and len(self.refused) == self.chains:
            return 2
        if self.failure is not None:
            return 1
        if self.keys_refused:
            return 2
        return 1 if self.refused else 0


class CapturePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A checked configuration: nothing in it can be refused any more.

    Attributes:
        config: What was asked for.
        source: The feed.
        options: Its options, all of them.
        secrets: Its keys, those that are set.
        streams: Canonical, each once.
        chains: What is recorded; none before `with_markets`, if there are
            patterns.
        job: Name of the job.
        ws_url: Where the WebSocket is.
        rest_url: Where the REST calls are.
    """

    config: CaptureConfig
    source: Source
    options: dict[str, str]
    secrets: Secrets = NO_SECRETS
    streams: tuple[str, ...]
    chains: tuple[Chain, ...]
    job: str
    ws_url: str
    rest_url: str

    @property
    def has_patterns(self) -> bool:
        """Whether markets are to be chosen out of the venue's list."""
        return any(is_pattern(market) for market in self.config.markets)


KEY_MIN: Final = 8
"""Characters that a key has at least."""

_SCHEMES: Final = {
    "--ws-url": ("ws://", "wss://"),
    "--rest-url": ("http://", "https://"),
}


def check_url(
    option: Literal["--ws-url", "--rest-url"],
    url: str | None,
    called: str | None = None,
) -> None:
    """Check an address that an option gave, if it did.

    Args:
        option: Which kind of address.
        url: The address.
        called: Its name, where that is not the option's.

    Raises:
        ConfigError: If it is none of its kind.
    """
    schemes = _SCHEMES[option]
    if url is not None and not (url.startswith(schemes) and url.isprintable()):
        raise ConfigError(
            f"{called or option} wants an address that starts with {' or '.join(schemes)}"
        )


def plan_capture(
    config: CaptureConfig, environ: Mapping[str, str] | None = None
) -> CapturePlan:
    """Check a configuration against the feed it names.

    Args:
        config: What is asked for.
        environ: Holds the keys; None for the environment of the process.

    Raises:
        ConfigError: If the feed, a stream or an option does not exist, a key
            is missing, or the venue does not allow so many connections.
    """
    source = load(config.source)
    options = resolve_options(source, config.options)
    streams = tuple(
        dict.fromkeys(canonical_stream(source, text) for text in config.streams)
    )
    chains = _chains(source, streams, config.markets)
    check_patterns(source, config.markets)
    check_url("--ws-url", config.ws_url)
    check_url("--rest-url", config.rest_url)
    secrets = read_secrets(source, os.environ if environ is None else environ)
    _check_needs(source, streams, secrets)
    ws_url = config.ws_url or source.ws_url.format_map(options)
    if any(is_pattern(market) for market in config.markets):
        chains = ()
    else:
        check_connections(source, chains)
    return CapturePlan(
        config=config,
        source=source,
        options=options,
        streams=streams,
        chains=chains,
        job=job_name(config, streams),
        secrets=secrets,
        ws_url=with_query(ws_url, source.ws_query(options)),
        rest_url=config.rest_url or source.rest_url.format_map(options),
    )


def with_markets(plan: CapturePlan, markets: Sequence[str]) -> CapturePlan:
    """Return a plan whose patterns stand for these markets.

    Args:
        plan: What is asked for; its job keeps its name, whatever markets.
        markets: What its patterns found, and what it names.

    Raises:
        ConfigError: If the venue does not allow so many.
    """
    chains = _chains(plan.source, plan.streams, markets)
    check_connections(plan.source, chains)
    return msgspec.structs.replace(plan, chains=chains)


def read_secrets(source: Source, environ: Mapping[str, str]) -> Secrets:
    """Return the keys of a feed that the environment holds.

    Raises:
        ConfigError: If a variable holds what cannot be a key. One of a few
            characters would be blotted out of every frame.
    """
    values: dict[str, str] = {}
    for secret in source.secrets:
        value = environ.get(secret.env, "").strip()
        if not value:
            continue
        is_plain = value.isascii() and value.isprintable() and " " not in value
        if len(value) < KEY_MIN or not is_plain:
            raise ConfigError(
                f"the environment variable {secret.env} holds no key: one has "
                f"{KEY_MIN} characters at least, without a blank; copy it again"
            )
        values[secret.name] = value
    return Secrets(values)


def with_query(url: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return an address with more pairs in its query."""
    if not pairs:
        return url
    joint = "&" if "?" in url else "?"
    return f"{url}{joint}{urlencode(pairs, safe=',')}"


def kind_of(source: Source, stream: str) -> StreamKind:
    """Return the kind of a canonical stream."""
    name = table_of(stream)
    return next(kind for kind in source.streams if kind.name == name)


def _chains(
    source: Source, streams: Sequence[str], markets: Sequence[str]
) -> tuple[Chain, ...]:
    of_none = [s for s in streams if not kind_of(source, s).has_markets]
    of_some = [s for s in streams if s not in of_none]
    if of_some and not markets:
        raise ConfigError("name at least one market with -m, as in -m BTC_USDT")
    if markets and not of_some:
        raise ConfigError(
            f"{of_none[0]!r} of {source.name} is about no market: leave -m out"
        )
    return tuple(
        Chain(market, stream)
        for stream in streams
        for market in ([NO_MARKET] if stream in of_none else dict.fromkeys(markets))
    )


def check_patterns(source: Source, markets: Sequence[str]) -> None:
    """Check that patterns among markets can be looked up.

    Raises:
        ConfigError: If the venue has no list, or they only take away.
    """
    patterns = [market for market in markets if is_pattern(market)]
    if patterns and source.market_list is None:
        raise ConfigError(
            f"{source.name} does not say which markets it has, so {patterns[0]!r} "
            "cannot be looked up; name the markets"
        )
    if markets and all(is_exclusion(market) for market in markets):
        raise ConfigError(
            f"{patterns[0]!r} only takes markets away; say what to record as well, "
            "such as '*'"
        )


def _check_needs(source: Source, streams: Sequence[str], secrets: Secrets) -> None:
    for stream in streams:
        for name in kind_of(source, stream).needs:
            if name in secrets:
                continue
            variable = next(s.env for s in source.secrets if s.name == name)
            raise ConfigError(
                f"{source.name} stream {stream!r} needs a key: set the environment "
                f"variable {variable}"
            )
