"""The faults of the feeds on which a venue speaks of itself.

There is none that leaves a frame out: these feeds number nothing, so nobody
could tell.
"""

from recorder.simulator.fault_kinds import TIMING, WITH_SECONDS, FaultKind


OKX_ERRORS = {
    60008: "This endpoint does not serve this channel.",
    60011: "Please log in.",
    60012: "Invalid request.",
    60013: "Invalid args.",
    60014: "Requests too frequent.",
    60018: "Wrong URL or channel.",
    60019: "Invalid op.",
    60027: "A parameter is empty.",
    60028: "This URL does not support this operation.",
    60033: "Parameter error.",
    63999: "Internal error at login.",
    64000: "A parameter is no longer supported.",
    64001: "This channel has moved to the business URL.",
    64002: "The business URL does not support this channel.",
    64007: "Operation failed due to an internal error.",
}
"""What can be answered to a request of OKX v5, in words of our own."""

INTERNAL_ERROR = 64007


def _common(prefix: str, title: str) -> dict[str, FaultKind]:
    return {
        f"{prefix}_duplicate": FaultKind(
            doc=f"{title}: a pushed frame is sent twice", keys=TIMING, random=0.05
        ),
        f"{prefix}_malformed": FaultKind(
            doc=f"{title}: a pushed frame is not valid JSON", keys=TIMING, random=0.05
        ),
        f"{prefix}_stall": FaultKind(
            doc=f"{title}: nothing is sent any more; dropped after SECONDS, 0 is never",
            keys=WITH_SECONDS,
            per_second=True,
            random=0.004,
        ),
        f"{prefix}_abort": FaultKind(
            doc=f"{title}: the TCP connection is dropped",
            keys=TIMING,
            per_second=True,
            random=0.01,
        ),
        f"{prefix}_handshake_502": FaultKind(
            doc=f"{title}: the WebSocket handshake is answered with HTTP 502",
            keys=TIMING,
            random=0.1,
        ),
    }


STATUS_KINDS: dict[str, FaultKind] = {
    **_common("v5", "v5"),
    "v5_error": FaultKind(
        doc="v5: a subscription is answered with error CODE",
        keys=(*TIMING, "code"),
        codes=(
            INTERNAL_ERROR,
            *(code for code in OKX_ERRORS if code != INTERNAL_ERROR),
        ),
        random=0.05,
    ),
    "v5_upgrade": FaultKind(
        doc="v5: notice 64008 tells all of an upgrade, closed SECONDS later",
        keys=WITH_SECONDS,
        seconds=60.0,
        per_second=True,
        random=0.01,
    ),
    **_common("ann", "announcements"),
    "ann_error": FaultKind(
        doc="announcements: a subscription is answered with a server error, code 3",
        keys=TIMING,
        random=0.05,
    ),
}
"""Those faults by name."""
