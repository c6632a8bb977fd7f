"""Which accepted streams are silent though they should not be.

A venue may accept a subscription and never push anything of it. The socket is
alive, the neighbours are lively, and a quiet market looks just the same. So a
stream is believed only as far as something speaks for it, and doubted as soon
as something speaks against it:

* **Its own rows speak for it**: it worked up to the last one.
* **Other streams of its market speak against it.** The feed says which
  (`recorder.source.Witness`): a ticker whose last price changes tells of a
  trade, and the trades must have shown it. A row is a sign only if what it
  tells happened at least `LAG_NS` after the stream was last heard of (so that
  it cannot be what that row told), signs are counted once a second at most,
  and the stream has `PATIENCE_NS` to come after the first. Enough signs mean
  that it is silent: from its last row on, or from its acceptance, rows may be
  missing.
* **Asking again speaks against what was before.** A stream of which no row
  ever came is asked for once more after `FIRST_PROBE_NS`, then after four
  times as long, and so on, in a way that disturbs nothing. If rows then come
  in `PROBE_ROWS` seconds or more, before as much time has gone by as it had
  been silent, the subscription before was no good: had it been, so many rows
  just then would be a chance of one in twenty at most.

* **So does asking for one that worked**, if it is silent as it never was
  (`recorder.capture.usual`).

With nothing against it a stream counts as recorded: a quiet market is no gap.

This module only judges; `recorder.capture.restarts` acts. Times are our
clock, nanoseconds.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

from recorder.capture.usual import Usual
from recorder.model import Chain, WireEvent
from recorder.source import Witness


SECOND_NS: Final = 1_000_000_000

LAG_NS: Final = 5 * SECOND_NS
"""How far two streams of a market may be apart about one happening."""

PATIENCE_NS: Final = 5 * SECOND_NS
"""How long a stream may take to show what another has told."""

FIRST_PROBE_NS: Final = 15 * SECOND_NS
"""After an acceptance without a row, before the stream is asked for again."""

PROBE_GROWTH: Final = 4
"""How much longer the silence before each further probe is."""

PROBE_PAUSE_MAX_NS: Final = 3_600 * SECOND_NS
"""The longest time between two probes."""

PROBE_ROWS: Final = 3
"""Seconds with rows after a probe that disprove the silence before it."""

RESTART_FIRST_NS: Final = 10 * SECOND_NS
"""Before a stream that is silent again is started afresh a second time."""

RESTART_MAX_NS: Final = 600 * SECOND_NS
"""The longest time before a stream is started afresh once more."""

_NEVER: Final = 1 << 63


class Silent(NamedTuple):
    """A chain that is silent now, though its market is not.

    Attributes:
        chain: The chain.
        since: First instant from which rows may be missing.
        why: What shows it, in words.
    """

    chain: Chain
    since: int
    why: str


class WasSilent(NamedTuple):
    """A chain that works now, but did not before it was asked for again.

    Attributes:
        chain: The chain.
        since: First instant from which rows may be missing.
        until: When the venue answered the second request.
        why: What shows it, in words.
    """

    chain: Chain
    since: int
    until: int
    why: str


class _Watched:
    """What is known of one chain.

    Attributes:
        accepted_at: Latest acceptance; `_NEVER` while it is not believed.
        since: Acceptance since which it counts as recorded.
        basis: When it was last heard of as the first sign came.
        signs: By witness: how many, and when the last came.
        trial: Answer to the last probe, while what follows it is counted.
    """

    __slots__ = (
        "accepted_at",
        "basis",
        "chain",
        "counted_at",
        "first_sign_at",
        "probe_at",
        "restart_at",
        "restarts",
        "rows_seen",
        "signs",
        "silence",
        "since",
        "stopped_at",
        "trial",
    )

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.accepted_at = _NEVER
        self.since = 0
        self.basis = 0
        self.first_sign_at = 0
        self.signs: dict[Witness, tuple[int, int]] = {}
        self.silence = FIRST_PROBE_NS
        self.probe_at = _NEVER
        self.trial: int | None = None
        self.rows_seen = 0
        self.counted_at = 0
        self.restarts = 0
        self.restart_at = _NEVER
        self.stopped_at = 0

    def sign(self, witness: Witness, heard_at: int, at: int) -> None:
        """Count a sign, if the last of its kind is a second old."""
        basis = max(self.accepted_at, heard_at)
        if not self.signs or self.basis != basis:
            self.basis, self.first_sign_at = basis, at
            self.signs.clear()
        count, last_at = self.signs.get(witness, (0, at - SECOND_NS))
        if at - last_at >= SECOND_NS:
            self.signs[witness] = count + 1, at

    def proof(self) -> Witness | None:
        """Return a witness of whose signs there are enough."""
        for witness, (count, _) in self.signs.items():
            if count >= witness.signs:
                return witness
        return None


class _Post:
    """A chain whose rows are signs about others."""

    __slots__ = ("at", "duties", "event")

    def __init__(self) -> None:
        self.event: WireEvent | None = None
        self.at = 0
        self.duties: list[tuple[Witness, list[_Watched]]] = []


class Silence:
    """Watches the chains of a run for silence.

    Args:
        witnesses: What the feed's streams tell of each other.
        chains: What is recorded.
        is_probed: Those that may be asked for again when nothing ever came.
        is_of_habits: Those of them whose own past tells how long they may be
            silent.

    Attributes:
        heard: When a row of a chain was last received. Whoever takes in rows
            writes it, for each of them: a plain mapping costs the least.
    """

    def __init__(
        self,
        witnesses: Sequence[Witness],
        chains: Iterable[Chain],
        is_probed: Collection[Chain],
        is_of_habits: Collection[Chain] = (),
    ) -> None:
        self.heard: dict[tuple[str, str], int] = {}
        self._watched = {chain: _Watched(chain) for chain in chains}
        self._is_probed = frozenset(is_probed)
        self._doubted: dict[Chain, _Watched] = {}
        self._unproven: dict[Chain, _Watched] = {}
        self._trials: dict[Chain, _Watched] = {}
        self._stopped: dict[Chain, _Watched] = {}
        self._next_probe_at = _NEVER
        self._posts = self._make_posts(witnesses)
        self._usual = Usual(self.heard, is_of_habits)

    def _make_posts(self, witnesses: Sequence[Witness]) -> dict[tuple[str, str], _Post]:
        by_market: dict[str, list[_Watched]] = {}
        for watched in self._watched.values():
            by_market.setdefault(watched.chain.market, []).append(watched)
        posts: dict[tuple[str, str], _Post] = {}
        for chain in self._watched:
            post = _Post()
            for witness in witnesses:
                about = [
                    watched
                    for watched in by_market[chain.market]
                    if witness.tells_of(watched.chain.stream) and watched.chain != chain
                ]
                if witness.tells_by(chain.stream) and about:
                    post.duties.append((witness, about))
            if post.duties:
                posts[chain] = post
        return posts

    # What happens --------------------------------------------------------

    def accepted(self, chain: Chain, at: int, *, is_covered: bool) -> None:
        """Note that the venue accepted a chain, perhaps once more.

        Args:
            chain: The chain.
            at: When.
            is_covered: Whether it counted as recorded before.
        """
        watched = self._watched[chain]
        watched.accepted_at = at
        watched.restart_at = _NEVER
        self._stopped.pop(chain, None)
        if is_covered:
            if chain in self._unproven and not self._is_proven(watched):
                watched.trial = at
                watched.rows_seen = watched.counted_at = 0
                self._trials[chain] = watched
            self._usual.answered(chain, at)
            return
        watched.since = at
        watched.trial = None
        self._trials.pop(chain, None)
        if chain in self._is_probed:
            watched.silence = FIRST_PROBE_NS
            self._probe_at(watched, at + FIRST_PROBE_NS)
            self._unproven[chain] = watched

    def lost(self, chain: Chain) -> None:
        """Note that nothing of a chain is expected until it is `accepted`."""
        self._usual.lost(chain)
        watched = self._watched[chain]
        watched.accepted_at = _NEVER
        watched.restart_at = _NEVER
        watched.trial = None
        for where in (self._doubted, self._unproven, self._trials, self._stopped):
            where.pop(chain, None)

    def begin_anew(self, now: int) -> None:
        """Count silence from now on: what was sent before may still be unread."""
        self._usual.begin_anew()
        self._doubted.clear()
        self._trials.clear()
        for watched in self._watched.values():
            watched.signs.clear()
            watched.trial = None
            if watched.accepted_at != _NEVER:
                watched.accepted_at = max(watched.accepted_at, now)

    def saw(self, chain: tuple[str, str], at: int, event: WireEvent) -> None:
        """Look at a row for what it tells of other chains.

        Args:
            chain: Market and stream of the row.
            at: When it was received.
            event: The row.
        """
        post = self._posts.get(chain)
        if post is None:
            return
        before, before_at = post.event, post.at
        post.event, post.at = event, at
        heard = self.heard
        for witness, about in post.duties:
            # Told is what happened after the row before; without fields to
            # compare, it is the row itself that happened.
            told_from = before_at if witness.has_fields else at
            for watched in about:
                heard_at = heard.get(watched.chain, 0)
                if (
                    told_from >= watched.accepted_at + LAG_NS
                    and told_from >= heard_at + LAG_NS
                    and witness.is_sign(before, event)
                ):
                    watched.sign(witness, heard_at, at)
                    self._doubted[watched.chain] = watched

    # What follows from it -------------------------------------------------

    def take_silent(self, now: int) -> list[Silent]:
        """Return chains found to be silent; they are not watched any more.

        They wait to be started afresh, see `take_restarts`.
        """
        found: list[Silent] = []
        for chain, watched in list(self._doubted.items()):
            heard_at = self.heard.get(chain, 0)
            if max(watched.accepted_at, heard_at) != watched.basis:
                watched.signs.clear()
                del self._doubted[chain]
                continue
            proof = watched.proof()
            if proof is None or now < watched.first_sign_at + PATIENCE_NS:
                continue
            is_after_row = heard_at > watched.since
            found.append(
                Silent(
                    chain,
                    heard_at + 1 if is_after_row else watched.since,
                    f"{proof.by} of the market changed, and nothing came",
                )
            )
            if heard_at > watched.accepted_at:
                watched.restarts = 0
            self._stop(watched, now)
        return found

    def take_was_silent(self, now: int) -> list[WasSilent]:
        """Return chains that began to work only when they were asked for again."""
        found: list[WasSilent] = []
        for chain, watched in list(self._trials.items()):
            until = watched.trial or 0
            heard_at = self.heard.get(chain, 0)
            if heard_at > until and heard_at >= watched.counted_at + SECOND_NS:
                watched.rows_seen += 1
                watched.counted_at = heard_at
            span = until - watched.since
            if watched.rows_seen >= PROBE_ROWS:
                found.append(
                    WasSilent(
                        chain,
                        watched.since,
                        until,
                        f"nothing for {span / SECOND_NS:.0f} s, "
                        "and rows as soon as it was asked for again",
                    )
                )
                watched.since = until
            elif now < until + span:
                continue
            watched.trial = None
            del self._trials[chain]
        found += [
            WasSilent(
                one.chain,
                one.since,
                one.until,
                f"nothing for {(one.until - one.since) / SECOND_NS:.0f} s, never for "
                f"more than {one.usual_ns / SECOND_NS:.0f} s before, and rows as soon "
                "as it was asked for again",
            )
            for one in self._usual.take_resumed(now)
        ]
        return found

    def take_probes(self, now: int) -> list[Chain]:
        """Return silent chains that are to be asked for once more."""
        due = self._usual.take_due(now)
        if now < self._next_probe_at:
            return due
        self._next_probe_at = _NEVER
        for chain, watched in list(self._unproven.items()):
            if self._is_proven(watched):
                del self._unproven[chain]
                continue
            if watched.probe_at <= now:
                due.append(chain)
                watched.silence *= PROBE_GROWTH
                next_at = watched.since + watched.silence
                watched.probe_at = min(next_at, now + PROBE_PAUSE_MAX_NS)
            self._probe_at(watched, watched.probe_at)
        return due

    def take_restarts(self, now: int) -> list[Chain]:
        """Return silent chains that are to be started afresh now."""
        due = [c for c, watched in self._stopped.items() if watched.restart_at <= now]
        for chain in due:
            self._stopped[chain].restart_at = _NEVER
        return due

    def take_recovered(self) -> list[tuple[Chain, int]]:
        """Return chains that brought a row while they waited for their restart.

        Each with the time of the row; it is believed again from there on.
        """
        found = [
            (chain, self.heard[chain])
            for chain, watched in self._stopped.items()
            if watched.restart_at != _NEVER
            and self.heard.get(chain, 0) > watched.stopped_at
        ]
        for chain, at in found:
            self.accepted(chain, at, is_covered=False)
            self._unproven.pop(chain, None)
        return found

    def stop(self, chain: Chain, now: int) -> None:
        """Have a chain started afresh: what was asked for last is no good."""
        self._stop(self._watched[chain], now)

    def _stop(self, watched: _Watched, now: int) -> None:
        chain = watched.chain
        self.lost(chain)
        watched.stopped_at = now
        pause = RESTART_FIRST_NS << min(watched.restarts, 16) >> 1
        watched.restart_at = now
        if watched.restarts:
            watched.restart_at += min(pause, RESTART_MAX_NS)
        watched.restarts += 1
        self._stopped[chain] = watched

    def _is_proven(self, watched: _Watched) -> bool:
        return self.heard.get(watched.chain, 0) > watched.since

    def _probe_at(self, watched: _Watched, at: int) -> None:
        watched.probe_at = at
        self._next_probe_at = min(self._next_probe_at, at)
