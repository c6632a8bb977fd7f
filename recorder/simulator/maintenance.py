"""The maintenance of a venue's systems as it tells of it: pure and seeded.

Each maintenance goes through the states of one of `PLOTS`, a step at a time;
several run at once. Nothing here asks a clock: times are handed in.
"""

import random
from datetime import UTC, datetime

import msgspec


PLOTS: tuple[tuple[str, ...], ...] = (
    ("scheduled", "ongoing", "completed"),
    ("scheduled", "ongoing", "pre_open", "completed"),
    ("scheduled", "rescheduled", "ongoing", "completed"),
    ("scheduled", "canceled"),
    ("ongoing", "prolonged", "completed"),
)
"""What happens to a maintenance. ``rescheduled`` and ``prolonged`` are no
states: the one is still ``scheduled``, the other ``ongoing``."""

_SERVICES = {
    "0": "WebSocket",
    "5": "Trading service",
    "8": "Trading service (in batches of accounts)",
    "9": "Trading service (in batches of products)",
    "11": "Copy trading",
    "12": "A service that no document lists",
    "99": "Some instruments",
}
_STATE = {"rescheduled": "scheduled", "prolonged": "ongoing"}
_RUNNING_MAX = 3
_PAIR_EVERY = 7


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """A maintenance as it stands after a change; times in unix milliseconds.

    Attributes:
        title: One line of text.
        state: ``scheduled``, ``ongoing``, ``pre_open``, ``completed`` or
            ``canceled``.
        begin: When it starts.
        end: When all trading is back: expected, and actual once completed.
        pre_open_begin: When some of it is back; None if that is not foreseen.
        href: Where to read more; may be empty.
        sche_desc: What was rescheduled, from when to when; may be empty.
        service_type: Number of the service.
        system: Name of the system.
        maint_type: 1 scheduled, 2 unscheduled, 3 disruption.
        env: 1 production, 2 demo trading.
        ts: When this change was made.
    """

    title: str
    state: str
    begin: int
    end: int
    pre_open_begin: int | None
    href: str
    sche_desc: str
    service_type: str
    system: str
    maint_type: str
    env: str
    ts: int


SAMPLE = Maintenance(
    title="Trading account WebSocket system upgrade",
    state="completed",
    begin=1672823400000,
    end=1672825980000,
    pre_open_begin=None,
    href="",
    sche_desc="",
    service_type="0",
    system="unified",
    maint_type="1",
    env="1",
    ts=1672826038470,
)
"""The one change that the documents show."""


class Maintenances:
    """All maintenance of a venue.

    Args:
        rng: Decides which, and in which order.
        unit_ms: How far apart planned times are, milliseconds.
        env: 1 production, 2 demo trading.
        has_history: Whether there was any before.

    Attributes:
        latest: The last change; None if there never was one.
    """

    def __init__(
        self, rng: random.Random, *, unit_ms: int, env: str = "1", has_history: bool
    ) -> None:
        self.latest = msgspec.structs.replace(SAMPLE, env=env) if has_history else None
        self._rng = rng
        self._unit_ms = unit_ms
        self._env = env
        self._running: list[tuple[Maintenance, tuple[str, ...]]] = []
        self._begun = 0
        self._steps = 0

    def step(self, now_ms: int) -> tuple[Maintenance, ...]:
        """Change one maintenance, now and then two at once.

        Args:
            now_ms: The present, unix milliseconds.

        Returns:
            Those that changed, as they stand now.
        """
        self._steps += 1
        number = 2 if self._steps % _PAIR_EVERY == 0 else 1
        changed = tuple(self._change(now_ms) for _ in range(number))
        self.latest = changed[-1]
        return changed

    def _change(self, now_ms: int) -> Maintenance:
        running = self._running
        if not running or (len(running) < _RUNNING_MAX and self._rng.random() < 0.5):
            plot = PLOTS[self._begun % len(PLOTS)]
            self._begun += 1
            begun = self._begin(plot, now_ms)
            running.append((begun, plot[1:]))
            return begun
        place = self._rng.randrange(len(running))
        before, (event, *rest) = running[place]
        after = self._after(before, event, now_ms)
        if rest:
            running[place] = after, tuple(rest)
        else:
            del running[place]
        return after

    def _begin(self, plot: tuple[str, ...], now_ms: int) -> Maintenance:
        unit, rng = self._unit_ms, self._rng
        is_planned = plot[0] == "scheduled"
        begin = now_ms + rng.randint(1, 4) * unit if is_planned else now_ms
        end = begin + rng.randint(2, 8) * unit
        service = rng.choice(list(_SERVICES))
        number = self._begun
        return Maintenance(
            title=f"{_SERVICES[service]}: maintenance no. {number} \u2013 \u7ef4\u62a4",
            state=plot[0],
            begin=begin,
            end=end,
            pre_open_begin=end - unit if "pre_open" in plot else None,
            href=f"https://okx.example/help/{number}" if number % 2 else "",
            sche_desc="",
            service_type=service,
            system="unified",
            maint_type="1" if is_planned else rng.choice("23"),
            env=self._env,
            ts=now_ms,
        )

    def _after(self, before: Maintenance, event: str, now_ms: int) -> Maintenance:
        begin, end = before.begin, before.end
        sche_desc = before.sche_desc
        if event == "rescheduled":
            begin, end = begin + 10 * self._unit_ms, end + 11 * self._unit_ms
            sche_desc = f"Rescheduled from {_iso(before.begin)} to {_iso(begin)}"
        elif event == "prolonged":
            end += 5 * self._unit_ms
        elif event == "completed":
            end = now_ms
        return msgspec.structs.replace(
            before,
            state=_STATE.get(event, event),
            begin=begin,
            end=end,
            sche_desc=sche_desc,
            ts=now_ms,
        )


def _iso(ms: int) -> str:
    at = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
