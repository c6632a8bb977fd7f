"""Log events: what happens on connections and to subscriptions."""

import logging
from typing import ClassVar

from recorder.telemetry.signal import Signal


class ConnectionOpened(Signal, frozen=True):
    """A WebSocket is open."""

    message: ClassVar[str] = "connected"
    counter: ClassVar[str] = "connections_opened_total"
    conn: str
    url: str


class ConnectionClosed(Signal, frozen=True):
    """A WebSocket is gone."""

    message: ClassVar[str] = "connection closed"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "connections_closed_total"
    conn: str
    code: int | None
    reason: str | None
    frames: int


class ConnectionEnded(Signal, frozen=True):
    """A WebSocket was closed by us."""

    message: ClassVar[str] = "connection closed by us"
    counter: ClassVar[str] = "connections_ended_total"
    conn: str
    code: int | None
    reason: str | None
    frames: int


class ConnectionFailed(Signal, frozen=True):
    """A WebSocket could not be opened, or is to be opened again."""

    message: ClassVar[str] = "will connect again"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "reconnects_total"
    url: str
    why: str
    retry_in_seconds: float


class ConnectionQuiet(Signal, frozen=True):
    """Nothing came for longer than the venue lets pass; it may be dead."""

    message: ClassVar[str] = "nothing comes, though something should"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "connections_quiet_total"
    conn: str
    seconds: int


class ChainsSubscribed(Signal, frozen=True):
    """The venue accepted a subscription."""

    message: ClassVar[str] = "subscribed"
    counter: ClassVar[str] = "subscriptions_total"
    stream: str
    markets: int | None


class SubscriptionRefused(Signal, frozen=True):
    """The venue refused a market of a stream, or a stream without markets."""

    message: ClassVar[str] = "the venue refused a subscription"
    level: ClassVar[int] = logging.ERROR
    counter: ClassVar[str] = "subscriptions_refused_total"
    market: str | None
    stream: str
    reason: str


class MaintenanceFound(Signal, frozen=True):
    """What is missing is so because of maintenance that the venue told of."""

    message: ClassVar[str] = "the venue is in maintenance"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "maintenance_found_total"
    chains: int
    why: str


class StreamProbed(Signal, frozen=True):
    """Streams that brought nothing so far were asked for once more."""

    message: ClassVar[str] = "nothing came yet, asked once more"
    level: ClassVar[int] = logging.DEBUG
    counter: ClassVar[str] = "streams_probed_total"
    chains: int


class StreamRestarted(Signal, frozen=True):
    """A stream that is silent is asked for afresh."""

    message: ClassVar[str] = "a stream is silent, asked for it afresh"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "streams_restarted_total"
    market: str
    stream: str


class HandoverBegan(Signal, frozen=True):
    """A connection is to be left, and another opened before that."""

    message: ClassVar[str] = "a second connection is to take over"
    counter: ClassVar[str] = "handovers_begun_total"
    conn: str
    why: str


class HandoverDelayed(Signal, frozen=True):
    """A second connection could not be had, or did not last."""

    message: ClassVar[str] = "the second connection was not to be had, will try again"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "handovers_delayed_total"
    conn: str
    why: str
    retry_in_seconds: float


class HandoverGivenUp(Signal, frozen=True):
    """A connection that was to be renewed goes on."""

    message: ClassVar[str] = "no second connection, the first goes on"
    level: ClassVar[int] = logging.WARNING
    counter: ClassVar[str] = "handovers_given_up_total"
    conn: str
    why: str


class HandoverDone(Signal, frozen=True):
    """A second connection took over."""

    message: ClassVar[str] = "handed over"
    counter: ClassVar[str] = "handovers_total"
    conn: str
    to: str
    seconds: float
    is_in_time: bool
