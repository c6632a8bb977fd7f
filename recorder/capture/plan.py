"""What a run is to do, checked, and what it says of itself."""

from typing import Final, Literal

import msgspec

from recorder.config import CaptureConfig, job_name
from recorder.errors import ConfigError
from recorder.model import Chain
from recorder.source import Source, canonical_stream, resolve_options
from recorder.sources import load


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has done so far.

    Attributes:
        frames: Frames received.
        dropped: Frames received and dropped because the disk was too slow.
        rows: Durable rows by table.
        bytes_written: Size of what is on disk, about.
        books_known: Order books known now.
        books: Order books kept.
        gaps: Gaps seen.
        lag_seconds: Age of the oldest row that is not durable yet.
        connections_open: Connections open now.
        connections: Connections wanted.
    """

    frames: int
    dropped: int
    rows: dict[str, int]
    bytes_written: int
    books_known: int
    books: int
    gaps: int
    lag_seconds: float
    connections_open: int
    connections: int


class CaptureResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended.

    Attributes:
        run: Id of the run.
        job: Name of the job.
        progress: What it did.
        refused: Chains the venue refused, with its words.
        chains: How many chains were asked for.
        was_connected: Whether the venue was ever reached.
        failure: Why it stopped before it was told to; None if it did not.
    """

    run: str
    job: str
    progress: Progress
    refused: dict[Chain, str]
    chains: int
    was_connected: bool
    failure: str | None


class CapturePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A checked configuration: nothing in it can be refused any more."""

    config: CaptureConfig
    source: Source
    options: dict[str, str]
    streams: tuple[str, ...]
    chains: tuple[Chain, ...]
    job: str
    ws_url: str
    rest_url: str


_SCHEMES: Final = {
    "--ws-url": ("ws://", "wss://"),
    "--rest-url": ("http://", "https://"),
}


def check_url(option: Literal["--ws-url", "--rest-url"], url: str | None) -> None:
    """Check an address that an option gave, if it did.

    Raises:
        ConfigError: If it is none of its kind.
    """
    schemes = _SCHEMES[option]
    if url is not None and not (url.startswith(schemes) and url.isprintable()):
        raise ConfigError(
            f"{option} wants an address that starts with {' or '.join(schemes)}"
        )


def plan_capture(config: CaptureConfig) -> CapturePlan:
    """Check a configuration against the feed it names.

    Raises:
        ConfigError: If the feed, a stream or an option does not exist.
    """
    source = load(config.source)
    options = resolve_options(source, config.options)
    streams = tuple(
        dict.fromkeys(canonical_stream(source, text) for text in config.streams)
    )
    markets = tuple(dict.fromkeys(config.markets))
    chains = tuple(Chain(market, s) for s in streams for market in markets)
    check_url("--ws-url", config.ws_url)
    check_url("--rest-url", config.rest_url)
    return CapturePlan(
        config=config,
        source=source,
        options=options,
        streams=streams,
        chains=chains,
        job=job_name(config, streams),
        ws_url=config.ws_url or source.ws_url,
        rest_url=config.rest_url or source.rest_url,
    )
