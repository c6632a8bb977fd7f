"""The conversation over one connection: what is asked, what is answered."""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import msgspec

from recorder.model import Chain, WireEvent
from recorder.source.reactions import Verdict


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A frame to send.

    Attributes:
        payload: The whole message; it is sent as text.
        chains: The chains it asks for; none for a ping.
        is_secret: Whether it holds what nobody may read: it is never kept.
    """

    payload: bytes
    chains: tuple[Chain, ...] = ()
    is_secret: bool = False


class Subscribed(msgspec.Struct, frozen=True, kw_only=True):
    """The venue accepted these chains.

    Attributes:
        chains: The chains.
        ts_event: Venue's clock at the acceptance, nanoseconds, where sent.
    """

    chains: tuple[Chain, ...]
    ts_event: int | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The venue refused these chains, for good.

    Attributes:
        chains: The chains.
        reason: Why, in its words.
        is_about_keys: Whether it did not accept the keys of our account.
    """

    chains: tuple[Chain, ...]
    reason: str
    is_about_keys: bool = False


class Send(msgspec.Struct, frozen=True, kw_only=True):
    """The dialogue wants these requests sent now, in this order."""

    requests: tuple[Request, ...]


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A sign of life without data.

    Attributes:
        ts_event: Venue's clock now, nanoseconds, where it can be told.
        is_clock_lost: Whether what was said of it before holds no more.
    """

    ts_event: int | None = None
    is_clock_lost: bool = False


class Unrecognized(msgspec.Struct, frozen=True, kw_only=True):
    """A well-formed frame of a kind not known; it is kept in ``frames``."""

    error: str


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """The venue says that it will close this connection soon.

    Another one takes its place before that, if there is time.

    Attributes:
        reason: In the venue's words, for people.
    """

    reason: str


class Quit(msgspec.Struct, frozen=True, kw_only=True):
    """This connection is of no use any more: it is closed.

    For what a venue says in words over an open connection: that it is asked
    too often, or cannot serve anybody now.

    Attributes:
        verdict: What is done next.
    """

    verdict: Verdict


Reply: TypeAlias = (
    Subscribed | Refused | Send | Heartbeat | Unrecognized | Leaving | Quit
)

Said: TypeAlias = list[WireEvent | Reply]
"""What a frame says, in its order."""


class Dialogue(Protocol):
    """The conversation over one connection."""

    def open(self, now_ns: int) -> Sequence[Request]:
        """Return what to send right after connecting, in order."""
        ...  # pragma: no cover - protocol

    def ping(self, now_ns: int) -> bytes | None:
        """Return a frame that makes the venue answer; None if there is none."""
        ...  # pragma: no cover - protocol

    def receive(self, payload: bytes, now_ns: int) -> Sequence[WireEvent | Reply]:
        """Return what a frame says, in the order of the frame.

        Args:
            payload: One message as bytes.
            now_ns: Our clock, nanoseconds, for requests sent in answer.

        Raises:
            WireError: If the frame cannot be decoded.
        """
        ...  # pragma: no cover - protocol

    def resubscribe(self, chains: Sequence[Chain], now_ns: int) -> Sequence[Request]:
        """Return what to send to have these chains started afresh."""
        ...  # pragma: no cover - protocol

    def ask_again(self, chains: Sequence[Chain], now_ns: int) -> Sequence[Request]:
        """Return what to send to ask for accepted chains once more.

        What runs already must go on without a break, and come only once.
        """
        ...  # pragma: no cover - protocol

    def due(self, now_ns: int) -> Sequence[Request]:
        """Return what is to be sent because its time has come.

        Asked about once a second, whatever was received meanwhile: a quiet
        venue brings no frame on which to look at the clock.
        """
        ...  # pragma: no cover - protocol

    def unknown_keys(self, payload: bytes) -> Sequence[str]:
        """Return keys of a frame that this feed does not know, as paths.

        Slow; meant for one frame in a thousand.

        Raises:
            WireError: If the frame is not valid JSON.
        """
        ...  # pragma: no cover - protocol
