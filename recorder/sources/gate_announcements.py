"""Gate's announcements, on a WebSocket of their own.

Streams and channels
--------------------

``status:summary_listing`` is the channel ``announcement.summary_listing``, and
so on: one channel for each type of announcement, and ``summary_all`` for all
of them, also of types to come. A channel is asked for in one language or in
both, and one subscription tells in both.

About a second after an answer the latest announcement of each language comes
once more; older ones cannot be had. One article may come several times over
``summary_all``, once for each type that it has.

The envelope and the answers are those of WebSocket v4, the ping is
``announcement.ping``.

Source: Gate's document of the announcement WebSocket (2026-05-27) and its
change log of 2026-08-27, with a third party's notes of live connections in
September 2026; protocol facts, section 3.5.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

import msgspec

from recorder.model import Chain, StatusEvent
from recorder.source import (
    NO_SECRETS,
    Option,
    Said,
    Secrets,
    Source,
    StreamKind,
    Unrecognized,
    told_of_maintenance,
)
from recorder.sources._gate_v4 import Conversation, Push, Route
from recorder.sources._gate_v4_asking import Stamped, items_of
from recorder.sources._json import NULL, Known, decoded, keys
from recorder.sources._times import SECOND_NS, Seconds


_TABLE: Final = "status"
_PUBLISHER: Final = "gate"

CHANNELS: Final = (
    "summary_all",
    "summary_listing",
    "summary_delisting",
    "summary_fee",
    "summary_etf",
    "summary_deposit_withdrawal",
    "summary_rename",
    "summary_precision",
    "summary_engine_upgrade",
    "summary_ipos",
)

_LANGUAGES: Final = {"en": ("en",), "cn": ("cn",), "both": ("en", "cn")}


class _Article(msgspec.Struct, gc=False):
    """What of an announcement has a column; all of it is in the payload."""

    title: str | None = None
    origin_url: str | None = None
    published_at: Seconds | None = None


_ARTICLE: Final = msgspec.json.Decoder(_Article)
_PUSH: Final = msgspec.json.Decoder(Push[msgspec.Raw])
_RAW: Final = msgspec.json.Decoder(msgspec.Raw)


class Dialogue(Conversation):
    """The conversation over one connection.

    Args:
        chains: What it is to carry.
        options: ``lang``: in which language.
        _secrets: None are known.
    """

    prefix: ClassVar[str] = "announcement"
    requests_per_second: ClassVar[int] = 10
    known: ClassVar[Mapping[str, Known]] = dict.fromkeys(
        (f"announcement.{channel}" for channel in CHANNELS),
        keys("lang origin_url title brief published_at type"),
    )

    def __init__(
        self,
        chains: Sequence[Chain],
        options: Mapping[str, str],
        _secrets: Secrets = NO_SECRETS,
    ) -> None:
        self._languages = _LANGUAGES[options["lang"]]
        self._channels = {chain.stream.partition(":")[2] for chain in chains}
        super().__init__(chains)

    def routes(self) -> Sequence[Route[Any]]:
        """Return how pushes are understood, one for each channel."""
        return [
            Route(
                f"{self.prefix}.{channel}",
                _PUSH,
                _RAW,
                partial(self._articles, channel),
            )
            for channel in CHANNELS
        ]

    def address(self, chains: Sequence[Chain]) -> tuple[str, list[str]]:
        """Return channel and payload that ask for the one chain of a request."""
        channel = chains[0].stream.partition(":")[2]
        return f"{self.prefix}.{channel}", list(self._languages)

    def batches(self, chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
        """Return the chains, each by itself: a request names one channel."""
        return [(chain,) for chain in chains]

    def _articles(self, channel: str, raw: msgspec.Raw, _stamp: Stamped) -> Said:
        if channel not in self._channels:
            return [Unrecognized(error=f"{channel} was not asked for")]
        if raw == NULL:
            return [Unrecognized(error=f"{channel}: an update without result")]
        return [_event(channel, item) for item in items_of(raw)]


def _event(channel: str, raw: msgspec.Raw) -> StatusEvent:
    article = decoded(_ARTICLE, raw)
    published_at = article.published_at
    return StatusEvent(
        kind="announcement",
        state=channel,
        title=article.title or None,
        url=article.origin_url or None,
        publisher=_PUBLISHER,
        ts_event=published_at * SECOND_NS if published_at else None,
        payload=bytes(raw).decode(),
    )


def plan(chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return which chains share a connection: all of them."""
    group = tuple(dict.fromkeys(chains))
    return [group] if group else []


SOURCE: Final = Source(
    name="gate_announcements",
    verdict=told_of_maintenance,
    doc="Gate announcements: listings, delistings, fees, upgrades, ...",
    ws_url="wss://api.gateio.ws/ws/v4/ann",
    rest_url="",
    streams=(
        StreamKind(
            name=_TABLE,
            doc="Announcements of one type, or of all; the latest comes first.",
            parameters=CHANNELS,
            default="summary_all",
            has_markets=False,
        ),
    ),
    options=(
        Option(
            name="lang",
            doc="English, Chinese or both.",
            choices=tuple(_LANGUAGES),
            default="en",
        ),
    ),
    requests_per_second=float(Dialogue.requests_per_second),
    plan=plan,
    dialogue=Dialogue,
    book_rule=lambda _stream: None,
)
