"""What the service says, as JSON in each generation of its documents.

Times are the service's own clock: nanoseconds since 1970 UTC here, whole
microseconds or nanoseconds on the wire.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec

from recorder.simulator.cryptolisting.settings import ApiKey, ListingSettings
from recorder.simulator.numbers import SECOND_NS


US_NS: Final = 1_000
ALL_CEX: Final = "*"

LISTING_TYPES: Final = (
    "spot_listing",
    "futures_listing",
    "spot_delisting",
    "futures_delisting",
    "not_listing",
)
LATER_LISTING_TYPES: Final = (
    "hodler_airdrop",
    "monitoring_tag_extend",
    "monitoring_tag_remove",
    "caution_released",
)
"""Generation C has these as well."""

TEST_TICKER: Final = "DUMMYTOKEN"


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """What an exchange announced, as the service tells it.

    Attributes:
        title: The exchange's words.
        tickers: What it is about.
        publisher: The exchange, lower case.
        listing_type: Its kind.
        detected_ns: When the service saw it.
        published_ns: When the exchange published it; not sent by C.
        is_abnormal: Whether it was seen unusually late; sent by C alone.
    """

    title: str
    tickers: tuple[str, ...]
    publisher: str
    listing_type: str
    detected_ns: int
    published_ns: int | None = None
    is_abnormal: bool = False


_encode = msgspec.json.Encoder().encode


def welcome(settings: ListingSettings, key: ApiKey, expires_in: int | None) -> bytes:
    """Return the first message of a connection.

    Args:
        settings: Decide its shape, and the limits it names.
        key: The key of the connection.
        expires_in: Seconds that the key is still good; None for ever.
    """
    limits: dict[str, object]
    if settings.generation == "C":
        limits = {
            "maxDistinctIps": settings.ips_per_key,
            "maxConnectionsPerIp": settings.connections_per_key_and_ip,
            "absoluteMaxConnections": settings.connections_per_key,
        }
    else:
        limits = {"maxConnections": settings.connections_per_key}
    said = {
        "type": "welcome",
        "tier": key.tier,
        **limits,
        "allowedCex": ",".join(key.allowed_cex) or ALL_CEX,
        "expiresInSecs": expires_in,
    }
    return _encode(said | _echo(settings, key))


def heartbeat(settings: ListingSettings, now_ns: int) -> bytes:
    """Return a sign of life; only C says what time it is."""
    if settings.generation != "C":
        return _encode({"type": "heartbeat"})
    return _encode(
        {"type": "heartbeat", "timestampNs": now_ns, "timeUtc": _iso(now_ns)}
    )


def announcement(
    settings: ListingSettings,
    told: Announcement,
    now_ns: int,
    *,
    is_test: bool = False,
) -> bytes:
    """Return an announcement as dispatched now."""
    tickers: object = ",".join(told.tickers)
    if settings.has_ticker_list:
        tickers = told.tickers
    said: dict[str, object] = {
        "type": "test_announcement" if is_test else "announcement",
        "title": told.title,
        "ticker": tickers,
        "publisher": told.publisher,
        "listingType": told.listing_type,
    }
    if settings.generation != "C" and told.published_ns is not None:
        said["publishTimestampUs"] = told.published_ns // US_NS
    said["detectedTimestampUs"] = told.detected_ns // US_NS
    said["dispatchTimestampUs"] = now_ns // US_NS
    if settings.generation == "C":
        said["abnormalDetectionLatency"] = told.is_abnormal
    return _encode(said)


def dummy_announcement(settings: ListingSettings, now_ns: int) -> bytes:
    """Return the announcement that a client gets for the asking."""
    told = Announcement(
        title=f"Test announcement: {TEST_TICKER}",
        tickers=(TEST_TICKER,),
        publisher="binance",
        listing_type="spot_listing",
        detected_ns=now_ns,
        published_ns=now_ns,
    )
    return announcement(settings, told, now_ns, is_test=True)


def dummy_refused(settings: ListingSettings, key: ApiKey, wait_seconds: int) -> bytes:
    """Return the error for a client that asks too often."""
    said = {
        "type": "error",
        "code": "test_rate_limited",
        "retryAfterSecs": wait_seconds,
    }
    return _encode(said | _echo(settings, key))


def unknown(kind: str) -> bytes:
    """Return a message of a type that no document explains."""
    return _encode({"type": kind, "text": "See the documents.", "version": 3})


def is_test_request(data: bytes) -> bool:
    """Return whether a client's message asks for a test announcement."""
    try:
        return msgspec.json.decode(data, type=_FromClient).type == "test"
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False


def body(error: str, **facts: object) -> bytes:
    """Return the body of a refused handshake."""
    return _encode({"error": error, **facts})


class _FromClient(msgspec.Struct, frozen=True):
    type: str = ""


def _echo(settings: ListingSettings, key: ApiKey) -> dict[str, str]:
    return {"key": key.key} if settings.is_echoing_keys else {}


def _iso(ns: int) -> str:
    when = datetime.fromtimestamp(ns // SECOND_NS, UTC)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{ns % SECOND_NS // US_NS:06d}Z"
