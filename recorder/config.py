"""What a run is asked to do, as frozen structures.

Everything is checked before anything is opened; what cannot be is refused
with a `ConfigError` that names what is legal.
"""

import hashlib
from pathlib import Path

import msgspec

from recorder.errors import ConfigError
from recorder.times import parse_seconds


class CaptureConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One source to record.

    Attributes:
        source: Name of the feed.
        markets: In the venue's spelling.
        streams: ``NAME[:PARAMETER]``.
        store: Folder of the data set.
        options: What ``-O`` gave.
        stop_after_seconds: How long to record; None for no limit.
        stop_at_ns: When to stop, nanoseconds since 1970 UTC; None for never.
        ws_url: Instead of the feed's own address.
        rest_url: Instead of the feed's own address.
        job: Name of the job; None for one made from the rest.
        is_archiving: Whether every frame is kept verbatim as well.
        rotate_seconds: Age at which a journal becomes a segment.
        flush_seconds: What a killed process may lose at most.
        renew_seconds: After so long a connection is replaced by another,
            before it is left.
        takes_over: Whether to take the place of a run that has the job, as soon
            as this one records everything; and to wait at its end for one that
            is to take over from it.
        memory_mb: What rows may take that wait for the disk, MiB.
        is_backfilling: Whether what gaps lost is fetched afterwards.
        audit_seconds: How often each book is compared with the venue's; 0 for
            never.
    """

    source: str
    markets: tuple[str, ...]
    streams: tuple[str, ...]
    store: Path
    options: dict[str, str] = {}
    stop_after_seconds: float | None = None
    stop_at_ns: int | None = None
    ws_url: str | None = None
    rest_url: str | None = None
    job: str | None = None
    is_archiving: bool = False
    rotate_seconds: float = 900.0  # a quarter of an hour: small journals
    flush_seconds: float = 1.0  # what people accept to lose in a power cut
    renew_seconds: float = 43_200.0  # many venues close theirs after a day
    takes_over: bool = False
    audit_seconds: float = 600.0
    memory_mb: int = 384  # a minute or two of a thousand markets
    is_backfilling: bool = True

    @property
    def memory_bytes(self) -> int:
        """What rows may take that wait for the disk, bytes."""
        return self.memory_mb << 20

    def ends_at(self, now_ns: int) -> int | None:
        """Return when a run that begins now is to end, nanoseconds; None for never."""
        after = self.stop_after_seconds
        ends = [] if after is None else [now_ns + round(after * 1e9)]
        if self.stop_at_ns is not None:
            ends.append(self.stop_at_ns)
        return min(ends, default=None)

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigError: With what to give instead.
        """
        if not self.streams:
            raise ConfigError("name at least one stream with -s, as in -s trades")
        for market in self.markets:
            check_market(market)
        check_flush(self.flush_seconds)
        check_rotate(self.rotate_seconds)
        check_renew(self.renew_seconds)
        check_memory(self.memory_mb)
        check_audit(self.audit_seconds)
        if self.stop_after_seconds is not None and self.stop_after_seconds <= 0:
            raise ConfigError("--duration must be longer than nothing")
        if self.job is not None:
            check_job(self.job)


def check_market(market: str) -> None:
    """Check the name of a market, or a pattern of such names.

    Raises:
        ConfigError: If there cannot be one.
    """
    if not market or market != market.strip() or not market.isprintable():
        raise ConfigError(f"{market!r} is not the name of a market")


def check_flush(seconds: float, called: str = "--flush") -> None:
    """Check how much a killed process may lose, seconds.

    Raises:
        ConfigError: If it is too little or too much.
    """
    if not 0.05 <= seconds <= 60:
        raise ConfigError(f"{called} must lie between 50ms and 1m")


def check_rotate(seconds: float, called: str = "--rotate") -> None:
    """Check the age at which a journal becomes a segment, seconds.

    Raises:
        ConfigError: If it is too little or too much.
    """
    if not 1 <= seconds <= 86_400:
        raise ConfigError(f"{called} must lie between 1s and 24h")


def check_renew(seconds: float, called: str = "--renew") -> None:
    """Check the age at which a connection is replaced, seconds.

    Raises:
        ConfigError: If it is too little or too much.
    """
    if not 1 <= seconds <= 365 * 86_400:
        raise ConfigError(f"{called} must lie between 1s and 365d")


def check_memory(megabytes: int, called: str = "--memory") -> None:
    """Check how much memory rows may take that wait for the disk, MiB.

    Raises:
        ConfigError: If it is too little or too much.
    """
    if not 16 <= megabytes <= 1 << 20:
        raise ConfigError(f"{called} must lie between 16 and 1048576 (MB)")


def check_audit(seconds: float, called: str = "--audit") -> None:
    """Check how often books are compared with the venue's, seconds; 0 is never.

    Raises:
        ConfigError: If it is too often or too seldom.
    """
    if seconds != 0 and not 1 <= seconds <= 7 * 86_400:
        raise ConfigError(f"{called} must lie between 1s and 7d, or be 'never'")


def parse_audit(text: str) -> float:
    """Return how often books are compared with the venue's, seconds; 0 is never.

    Args:
        text: A length of time, or ``never``.

    Raises:
        ConfigError: If it is anything else.
    """
    return 0.0 if text.strip() in ("never", "0") else parse_seconds(text)


def check_job(job: str, called: str = "--job") -> None:
    """Check the name of a job.

    Raises:
        ConfigError: If it cannot be one.
    """
    if not (job.strip() and job.isprintable()):
        raise ConfigError(f"{called} needs a name that can be printed")


def job_name(config: CaptureConfig, streams: tuple[str, ...]) -> str:
    """Return the name of a job: as given, or made from what it records.

    Args:
        config: What is asked for.
        streams: Its streams in canonical form.
    """
    if config.job is not None:
        return config.job
    facts = (
        sorted(config.options.items()),
        sorted(set(config.markets)),
        sorted(streams),
        config.ws_url,
    )
    digest = hashlib.sha256(msgspec.json.encode(facts)).hexdigest()
    return f"{config.source}-{digest[:8]}"
