"""The faults of the listing service that can be ordered."""

from typing import Final

from recorder.simulator.fault_kinds import TIMING, FaultKind


PREFIX: Final = "cryptolisting_"

REFUSED: Final = (
    "http_400",
    "http_401",
    "http_403",
    "http_426",
    "max_connections_reached",
    "connection_rate_limit_exceeded",
    "per_ip_concurrent_limit_reached",
    "per_ip_connection_limit_reached",
    "max_distinct_ips_reached",
    "absolute_connection_cap_reached",
    "connection_cooldown",
    "http_503",
)
"""A handshake is answered so."""

CLOSED: Final = (
    "key_expired",
    "key_revoked",
    "key_invalidated",
    "too_slow",
    "rate_limit_exceeded",
    "frame_too_large",
    "internal_error",
)
"""A connection is closed for that reason."""

SAID: Final = ("changelog", "renewal_notice")
"""A message of that type comes, which no document explains."""

_PLAIN: Final = {
    "abort": "the TCP connection is dropped",
    "mute": "no heartbeats come any more",
    "stall": "nothing comes any more, not even a PING",
    "no_welcome": "a connection is not welcomed",
    "late_welcome": "a heartbeat comes before the welcome",
    "malformed": "a heartbeat or announcement is not valid JSON",
    "text": "a heartbeat or announcement comes as a text frame",
}

_WITH_TIME: Final = {*CLOSED, *SAID, "abort", "mute", "stall"}


SPOILS: Final = frozenset({f"{PREFIX}malformed", f"{PREFIX}text"})
"""Faults that hit one message."""

ENDS: Final = tuple(f"{PREFIX}{name}" for name in (*CLOSED, "abort", "stall"))
"""Faults after which nothing more comes over a connection."""

HARMLESS: Final = {
    **{
        f"{PREFIX}{name}": "the chain is in a gap until a connection is open"
        for name in REFUSED
    },
    **{f"{PREFIX}{name}": "nothing is missing: it is a row" for name in SAID},
    f"{PREFIX}mute": "announcements are a sign of life as well",
    f"{PREFIX}no_welcome": "the chain is in a gap until something else comes",
    f"{PREFIX}late_welcome": "nothing is missing: a heartbeat shows as well who is in",
    f"{PREFIX}text": "nothing is missing: it is read as well",
}
"""Faults of which nothing need be missing, and why."""

_RANDOM: Final = {
    "http_503": 0.1,
    "max_connections_reached": 0.03,
    "connection_rate_limit_exceeded": 0.03,
    "per_ip_concurrent_limit_reached": 0.03,
    "per_ip_connection_limit_reached": 0.03,
    "max_distinct_ips_reached": 0.03,
    "absolute_connection_cap_reached": 0.03,
    "connection_cooldown": 0.05,
    "too_slow": 0.003,
    "rate_limit_exceeded": 0.001,
    "internal_error": 0.003,
    "changelog": 0.01,
    "renewal_notice": 0.01,
    "abort": 0.01,
    "mute": 0.002,
    "stall": 0.002,
    "late_welcome": 0.1,
    "malformed": 0.02,
    "text": 0.02,
}
"""Chances under ``random``: of what a client that does as told survives."""


def _kind(name: str, doc: str) -> FaultKind:
    return FaultKind(
        doc=f"cryptolisting: {doc}",
        keys=TIMING,
        per_second=name in _WITH_TIME,
        random=_RANDOM.get(name, 0.0),
    )


KINDS: Final = {
    f"{PREFIX}{name}": _kind(name, doc)
    for name, doc in {
        **{
            name: "a handshake is refused with "
            + (f"HTTP {name[5:]}" if name.startswith("http_") else f"429 {name}")
            for name in REFUSED
        },
        **{name: f"a connection is closed, {name}" for name in CLOSED},
        **{name: f"a message of the type {name} comes" for name in SAID},
        **_PLAIN,
    }.items()
}
"""Every fault by name."""
