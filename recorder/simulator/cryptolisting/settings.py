"""All knobs of the simulated service, each with a default and its reason.

Three generations of its documents exist, and they contradict each other. A
generation decides the defaults (`settings_of`); each may be set apart.

Source:
    The service's pages as of the first (A), second (B) and current (C) docs.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from recorder.errors import ConfigError
from recorder.simulator.faults import Fault


GENERATIONS: Final = ("A", "B", "C")

DEMO_KEY: Final = "dsk_" + "5eed" * 16
"""The key that is good unless others are given: of the documented form."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key and what it is good for.

    Attributes:
        key: ``dsk_`` and 64 hex digits.
        tier: Said in the welcome.
        allowed_cex: Exchanges it may hear of; empty for all.
        expires_in_seconds: From the start of the service; None for never.
    """

    key: str = DEMO_KEY
    tier: str = "premium"
    allowed_cex: tuple[str, ...] = ()
    expires_in_seconds: float | None = None


class Scripted(msgspec.Struct, frozen=True, kw_only=True):
    """An announcement to come at a set time.

    Attributes:
        at_seconds: After the first client was let in.
        title: The exchange's words.
        tickers: What it is about.
        publisher: The exchange.
        listing_type: Its kind.
    """

    at_seconds: float
    title: str
    tickers: tuple[str, ...] = ()
    publisher: str = "binance"
    listing_type: str = "spot_listing"


class ListingSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the service behaves.

    Attributes:
        generation: ``A``, ``B`` or ``C``: shapes of messages, names of errors.
        port: TCP port on 127.0.0.1; 0 takes any that is free.
        seed: Decides the announcements and the faults.
        keys: Keys that are good.
        script: Announcements to come at set times, in their order.
        announcements_per_minute: How many are made up, over all exchanges.
        has_ticker_list: Tickers are sent as a list, not as one text.
        is_echoing_keys: Whatever is answered or said repeats the key.
        heartbeat_seconds: How often a heartbeat is sent.
        ping_seconds: How often a protocol PING is sent.
        first_ping_seconds: The first PING comes within so long.
        pong_seconds: Without a PONG for so long a client is dropped.
        queue_frames: A client that is further behind is closed.
        message_bytes: A longer message of a client closes its connection.
        messages_per_minute: So do more messages.
        has_test: Whether a client may ask for a test announcement.
        test_seconds: How long it waits for the next one.
        connections: Over all clients.
        connections_per_ip: At a time.
        connects_per_minute: Of one address.
        connections_per_key_and_ip: At a time; None for any number.
        ips_per_key: Different addresses at a time; None for any number.
        connections_per_key: At a time; None for any number.
        cooldown_seconds: Between two connects of a key from an address.
        step_seconds: How often what is due is done.
        truth_dir: Folder for the truth as JSON lines; None for none.
        keep_truth: Hold the truth in memory, which grows all the time.
        faults: Faults to order.
    """

    generation: str = "C"
    port: int = 0
    seed: int = 1
    keys: tuple[ApiKey, ...] = (ApiKey(),)
    script: tuple[Scripted, ...] = ()
    announcements_per_minute: float = 0.0
    has_ticker_list: bool = False
    is_echoing_keys: bool = False
    heartbeat_seconds: float = 30.0
    ping_seconds: float = 15.0
    first_ping_seconds: float = 5.0
    pong_seconds: float = 30.0
    queue_frames: int = 10
    message_bytes: int = 1024
    messages_per_minute: int = 3
    has_test: bool = True
    test_seconds: float = 60.0
    connections: int = 10_000
    connections_per_ip: int = 20
    connects_per_minute: int = 10
    connections_per_key_and_ip: int | None = 5
    ips_per_key: int | None = 2  # "configurable"; a free key has one or two
    connections_per_key: int | None = 20
    cooldown_seconds: float = 5.0
    step_seconds: float = 0.02
    truth_dir: Path | None = None
    keep_truth: bool = True
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConfigError: With a sentence that says what is wrong.
        """
        if self.generation not in GENERATIONS:
            raise ConfigError(
                f"the generation is one of {', '.join(GENERATIONS)}, "
                f"not {self.generation!r}"
            )
        if self.announcements_per_minute < 0:
            raise ConfigError("the rate of announcements cannot be negative")
        if self.step_seconds <= 0:
            raise ConfigError("the time between two steps must be above zero")


_OLD: Final[dict[str, Any]] = {
    "connects_per_minute": 60,
    "connections_per_key_and_ip": None,
    "connections_per_key": 5,
    "ips_per_key": None,
    "cooldown_seconds": 0.0,
    "messages_per_minute": 30,
    "first_ping_seconds": 15.0,
}
_PRESETS: Final[dict[str, dict[str, Any]]] = {
    "A": {**_OLD, "has_test": False},
    "B": _OLD,
    "C": {},
}


def settings_of(generation: str, **changes: Any) -> ListingSettings:
    """Return the settings that a generation of the documents describes.

    Args:
        generation: ``A``, ``B`` or ``C``.
        changes: Fields that are to be different.

    Raises:
        ConfigError: If there is no such generation, or it cannot work.
    """
    preset = _PRESETS.get(generation, {})
    return ListingSettings(**{**preset, **changes}, generation=generation)
