"""Who is let in: keys, limits, and the HTTP answer to who is not.

The checks come in the order of the documents: the shape of the request, the
key, the rate, the numbers of connections.
"""

from collections import Counter, deque
from typing import Final

import msgspec

from recorder.simulator.cryptolisting.settings import ApiKey, ListingSettings
from recorder.simulator.numbers import SECOND_NS


HEADER: Final = "X-API-Key"
QUERY: Final = "api_key"
"""Where B accepts the key as well, though it advises against it."""

_MINUTE_NS: Final = 60 * SECOND_NS


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a handshake that fails.

    Attributes:
        status: Of HTTP.
        error: The body's ``error``.
        facts: What the body says besides.
    """

    status: int
    error: str
    facts: dict[str, object] = {}


REFUSALS: Final = {
    "http_400": Refusal(status=400, error="malformed_upgrade_request"),
    "http_401": Refusal(status=401, error="missing_api_key"),
    "http_403": Refusal(status=403, error="invalid_api_key"),
    "http_426": Refusal(status=426, error="upgrade_required"),
    "max_connections_reached": Refusal(
        status=429, error="max_connections_reached", facts={"limit": 5, "current": 5}
    ),
    **{
        error: Refusal(status=429, error=error)
        for error in (
            "connection_rate_limit_exceeded",
            "per_ip_concurrent_limit_reached",
            "per_ip_connection_limit_reached",
            "max_distinct_ips_reached",
            "absolute_connection_cap_reached",
        )
    },
    "connection_cooldown": Refusal(
        status=429, error="connection_cooldown", facts={"retry_after_s": 5}
    ),
    "http_503": Refusal(status=503, error="service_unavailable"),
}
"""Every documented answer, and one that any service may give.

Of the answers 400 to 426 only the status is documented, not the body.
"""


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """A client that was let in.

    Attributes:
        key: Its key.
        ip: Its address.
        cex: Exchanges it asked to hear of and may; None for all.
    """

    key: ApiKey
    ip: str
    cex: frozenset[str] | None

    def wants(self, publisher: str) -> bool:
        """Return whether it is told what an exchange announces."""
        return self.cex is None or publisher in self.cex


class Door:
    """Lets clients in and counts them.

    Args:
        settings: Keys and limits.
        start_ns: The service's clock as it began.
    """

    def __init__(self, settings: ListingSettings, start_ns: int) -> None:
        self._settings = settings
        self._start_ns = start_ns
        self._keys = {key.key: key for key in settings.keys}
        self._inside: Counter[Guest] = Counter()
        self._knocks: dict[str, deque[int]] = {}
        self._entered: dict[tuple[str, str], int] = {}

    def expires_in(self, key: ApiKey, now_ns: int) -> int | None:
        """Return for how many seconds a key is good; None for ever, 0 if not."""
        if key.key not in self._keys:
            return 0
        if key.expires_in_seconds is None:
            return None
        left = self._start_ns + int(key.expires_in_seconds * SECOND_NS) - now_ns
        return max(0, -(-left // SECOND_NS))

    def revoke(self, key: str) -> None:
        """Make a key no good, from now on."""
        self._keys.pop(key, None)

    def let_in(
        self, headers: dict[str, str], query: dict[str, str], ip: str, now_ns: int
    ) -> Guest | Refusal:
        """Decide about a handshake whose shape is right.

        Args:
            headers: Of the request, names as in `HEADER`.
            query: Of the address.
            ip: Of the client.
            now_ns: The service's clock.
        """
        text = headers.get(HEADER, "")
        if not text and self._settings.generation == "B":
            text = query.get(QUERY, "")
        if not text:
            return REFUSALS["http_401"]
        key = self._keys.get(text)
        if key is None or self.expires_in(key, now_ns) == 0:
            return REFUSALS["http_403"]
        refusal = self._limit(key, ip, now_ns)
        if refusal is not None:
            return refusal
        self._entered[key.key, ip] = now_ns
        guest = Guest(key=key, ip=ip, cex=_filter(key, query.get("cex", "")))
        self._inside[guest] += 1
        return guest

    def left(self, guest: Guest) -> None:
        """Note that a client is gone."""
        self._inside[guest] -= 1

    def _limit(self, key: ApiKey, ip: str, now_ns: int) -> Refusal | None:
        """Return the limit that one more client would break, if any."""
        limits = self._settings
        same_ip = self._count(ip=ip)
        mine = self._count(key=key)
        here = self._count(key=key, ip=ip)
        ips = {g.ip for g, n in self._inside.items() if n and g.key is key} | {ip}
        since = self._entered.get((key.key, ip))
        checks = (
            (
                "connection_rate_limit_exceeded",
                limits.connects_per_minute,
                self._knocked(ip, now_ns),
            ),
            ("per_ip_concurrent_limit_reached", limits.connections_per_ip, same_ip),
            (
                "per_ip_connection_limit_reached",
                limits.connections_per_key_and_ip,
                here,
            ),
            ("max_distinct_ips_reached", limits.ips_per_key, len(ips) - 1),
            ("absolute_connection_cap_reached", limits.connections_per_key, mine),
            ("absolute_connection_cap_reached", limits.connections, self._count()),
        )
        for error, limit, current in checks:
            if limit is not None and current >= limit:
                return self._refusal(error, limit, current)
        cooldown_ns = int(limits.cooldown_seconds * SECOND_NS)
        if since is not None and now_ns < since + cooldown_ns:
            wait = -(-(since + cooldown_ns - now_ns) // SECOND_NS)
            return Refusal(
                status=429, error="connection_cooldown", facts={"retry_after_s": wait}
            )
        return None

    def _refusal(self, error: str, limit: int, current: int) -> Refusal:
        if self._settings.generation == "C":
            return REFUSALS[error]
        # Before C there was one body for every limit.
        return Refusal(
            status=429,
            error="max_connections_reached",
            facts={"limit": limit, "current": current},
        )

    def _count(self, *, key: ApiKey | None = None, ip: str | None = None) -> int:
        return sum(
            number
            for guest, number in self._inside.items()
            if key in (None, guest.key) and ip in (None, guest.ip)
        )

    def _knocked(self, ip: str, now_ns: int) -> int:
        """Note an attempt; return how many there were in the minute before it."""
        knocks = self._knocks.setdefault(ip, deque())
        while knocks and knocks[0] <= now_ns - _MINUTE_NS:
            knocks.popleft()
        before = len(knocks)
        if before < self._settings.connects_per_minute:
            knocks.append(now_ns)
        return before


def _filter(key: ApiKey, asked: str) -> frozenset[str] | None:
    """Return the exchanges that were asked for and are allowed; None for all."""
    wanted = frozenset(name.strip().lower() for name in asked.split(",") if name)
    allowed = frozenset(key.allowed_cex)
    if not wanted:
        return allowed or None
    return wanted & allowed if allowed else wanted
