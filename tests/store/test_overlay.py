"""The accounts of two runs of a job at once make one: each instant is told once.

The oracle is a set of instants for each chain and run. It knows nothing of
intervals, revisions, or how two accounts are joined.
"""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings, strategies as st

from recorder.model import TAKEN_OVER, Chain, Coverage, Gap
from recorder.store.kept import Kept
from recorder.store.ledger import Ledger
from recorder.store.overlay import Joint, Overlay


CHAINS = (Chain("A", "trades"), Chain("B", "depth:100ms"), Chain("", "status"))
FOREVER = 1 << 63


class Run:
    """A ledger, the rows it gave, and what is true."""

    def __init__(self, name, chains, now, left_open=()):
        self.ledger = Ledger("job", name, chains, left_open)
        self.chains = chains
        self.now = now
        self.here = {chain: set() for chain in CHAINS}
        self.on = dict.fromkeys(chains)
        self.began = now
        self.rows = self.ledger.start(now)

    def wait(self, ns):
        for chain, since in self.on.items():
            if since is not None:
                self.here[chain].update(range(self.now, self.now + ns))
        self.now += ns

    def do(self, what, chain, back, size):
        if chain in self.chains:
            getattr(self, what)(chain, back, size)

    def covered(self, chain, _back, _size):
        self.rows += self.ledger.covered(chain, self.now)
        if self.on[chain] is None:
            self.on[chain] = self.now

    def lost(self, chain, back, _size):
        if (since := self.on[chain]) is not None:
            at = max(since, self.now - back)
            self.rows += self.ledger.lost(chain, "connect_lost", at)
            self.here[chain].difference_update(range(at, self.now))
            self.on[chain] = None

    def refused(self, chain, _back, _size):
        if self.on[chain] is None:
            self.rows += self.ledger.refused(chain, self.now, "no")

    def missed(self, chain, back, size):
        if (since := self.on[chain]) is not None:
            start = max(since, self.now - back)
            end = min(self.now, start + size)
            if start < end:
                self.rows += self.ledger.missed(chain, "sequence_gap", start, end)
                self.here[chain].difference_update(range(start, end))

    def by_all(self, _chain, back, size):
        start = self.now - min(back, 5)
        end = min(self.now, start + size)
        if start < end and start >= self.began:
            self.ledger.missed_by_any("undecodable", start, end, detail="frame")
            for chain in self.chains:
                self.here[chain].difference_update(range(start, end))
            self.rows += self.ledger.due()

    def book(self, chain, back, _size):
        lose, know = self.ledger.book_lost, self.ledger.book_known
        rows = lose(chain, "resync", self.now) if back % 2 else know(chain, self.now)
        self.rows += rows

    def stop(self):
        self.rows += self.ledger.stop(self.now)


def newest(rows):
    found = {}
    for row in rows:
        if isinstance(row, Gap):
            found[row.gap_id] = row
    return list(found.values())


def told(rows, chain, since, until):
    """Return the instants of a chain that rows say are here.

    Each instant is told once from when the job began to record the chain, for ever
    or until it does not record it any more.
    """
    mine = [row for row in rows if is_about(row, chain)]
    spans = [
        (row.started_at, row.ended_at, True)
        for row in mine
        if isinstance(row, Coverage)
    ]
    for gap in newest(mine):
        end = FOREVER if gap.ended_at is None else gap.ended_at
        is_of_job = gap.stream is None
        if gap.scope == "rows" and not (is_of_job and outside(gap, since, until)):
            spans.append((gap.started_at, end, False))
    spans = sorted(span for span in spans if span[0] < span[1])
    for (_, end, _), (begin, _, _) in pairwise(spans):
        assert end == begin, (chain, spans)
    if since < until:
        assert (spans[0][0], spans[-1][1]) == (since, until), (chain, spans)
    return {at for start, end, is_here in spans if is_here for at in range(start, end)}


def outside(gap, since, until):
    """A gap of the whole job is of the chains that it recorded then."""
    return gap.ended_at <= since or gap.started_at >= until


def is_about(row, chain):
    if isinstance(row, Gap) and row.stream is None:
        return True
    return (row.market, row.stream) == (chain.market or None, chain.stream)


def overlay_of(disk, second, kept=None, **facts):
    """Lay the account of the second over what the first left on the disk."""
    kept = Kept() if kept is None else kept
    kept.see(second.rows)
    return Overlay(
        *("job", "two", second.ledger, kept, newest(disk)),
        began_at=second.began,
        **{"settle_ns": 0, **facts},
    )


def both_on(chain):
    """Two runs that have recorded a chain beside each other for a while."""
    first, second = Run("one", (chain,), 1_000), Run("two", (chain,), 1_001)
    for run in (first, second):
        run.covered(chain, 0, 0)
        run.wait(20)
    return first, second


STEP = st.tuples(
    st.sampled_from(
        ["covered", "covered", "lost", "missed", "by_all", "refused", "book"]
    ),
    st.sampled_from(CHAINS),
    st.integers(0, 12),
    st.integers(1, 6),
    st.integers(1, 9),
    st.booleans(),
)
STEPS = st.lists(STEP, max_size=9)
SOME = st.sets(st.sampled_from(CHAINS), min_size=1)
COVERED = ("covered", CHAINS[0], 0, 1, 1, False)
BY_ALL = ("by_all", CHAINS[0], 3, 1, 2, False)


@settings(max_examples=300, deadline=None)
@given(
    *(STEPS, STEPS, STEPS, STEPS, SOME | st.just(set(CHAINS)), SOME),
    st.just(0) | st.integers(0, 60),
)
@example([], [], [], [], set(CHAINS), {CHAINS[0]}, 0)
@example([], [], [COVERED] * 2, [BY_ALL], set(CHAINS), {CHAINS[0]}, 0)
@example([], [*[COVERED] * 2, BY_ALL], [], [], {CHAINS[0]}, {CHAINS[1]}, 0)
def test_what_either_recorded_is_here_and_each_instant_is_told_once(
    alone, both, after, later, recorded, asked, apart
):
    """But what the second had while their clocks were apart does not count."""
    first = Run("one", tuple(sorted(recorded)), 1_000)
    follow(alone, [first])
    second = Run("two", tuple(sorted(asked)), first.now)
    follow(both, [first, second])
    first.stop()
    disk = list(first.rows)
    follow(after, [second])
    second.rows += second.ledger.due()
    taken_at = second.now
    alike_from = min(second.began + apart, taken_at) if apart else 0
    overlay = overlay_of(disk, second, alike_from=alike_from)
    check_state(overlay, second)
    second.rows = overlay.lay(taken_at)
    follow(later, [second])
    second.stop()

    rows = disk + second.rows
    for chain in recorded | asked:
        since = first.began if chain in recorded else second.began
        until = FOREVER if chain in asked else taken_at
        found = told(rows, chain, since, until)
        mine = second.here[chain]
        if chain in recorded:
            mine = {at for at in mine if at >= alike_from}
        assert found == first.here[chain] | mine, chain


def check_state(overlay, second):
    """Whoever comes after a kill right here finds every chain in an open gap."""
    state = overlay.state()
    named = {
        Chain(gap.market or "", gap.stream) for gap in state.gaps if gap.scope == "rows"
    }
    assert named == set(second.chains)
    assert not state.intervals
    assert all(gap.ended_at is None for gap in state.gaps)


def follow(steps, runs):
    for what, chain, back, size, wait, is_second in steps:
        for run in runs:
            run.wait(wait)
        runs[is_second and len(runs) - 1].do(what, chain, back, size)


@pytest.mark.parametrize(
    ("stopped_at", "is_whole", "length", "healed_by"),
    [
        (1_015, None, 0, TAKEN_OVER),
        (1_014, None, 0, None),
        (1_009, None, 1, None),
        (1_014, True, 0, TAKEN_OVER),
        (1_015, False, 0, None),
    ],
    ids=["for long", "only just", "only one at a time", "ids meet", "ids do not"],
)
def test_what_was_sent_over_the_first_alone_has_come_after_a_while(
    stopped_at, is_whole, length, healed_by
):
    """It may have been behind, as connections are."""
    chain = CHAINS[0]
    first = Run("one", (chain,), 1_000)
    first.covered(chain, 0, 0)
    first.wait(stopped_at - first.now)
    first.stop()
    second = Run("two", (chain,), 1_005)
    second.wait(5)
    second.covered(chain, 0, 0)
    holes = ((6, 8),) if is_whole is False else ()
    joints = {chain: Joint(is_whole=is_whole, holes=holes)}
    overlay = overlay_of(first.rows, second, settle_ns=5, joints=joints)

    (gap,) = overlay.lay(1_020)

    assert (gap.reason, gap.started_at) == ("process_stopped", stopped_at)
    assert (gap.ended_at - gap.started_at, gap.healed_by) == (length, healed_by)


def test_of_gaps_that_were_dropped_nothing_is_said_later():
    chain = CHAINS[0]
    first = Run("one", (chain,), 1_000)
    first.covered(chain, 0, 0)
    second = Run("two", (chain,), 1_001)
    second.covered(chain, 0, 0)
    for run in (first, second):
        run.wait(20)
    second.missed(chain, 5, 3)  # which the first has
    first.stop()
    second.wait(10)
    second.missed(chain, 5, 3)
    kept = Kept()
    overlay = overlay_of(first.rows, second, kept)

    rows = overlay.lay(second.now)

    missed = [gap for gap in second.rows if gap.reason == "sequence_gap"]
    assert [gap.gap_id in kept.untold(rows) for gap in missed] == [True, False]


def test_where_only_the_second_recorded_its_book_may_be_unknown():
    chain = CHAINS[1]
    first, second = Run("one", (chain,), 1_000), Run("two", (chain,), 1_001)
    first.covered(chain, 0, 0)
    for run in (first, second):
        run.wait(20)
    first.rows += first.ledger.missed(chain, "backpressure", 1_005, 1_030)
    second.covered(chain, 0, 0)
    second.rows += second.ledger.book_lost(chain, "resync", second.now)
    for run in (first, second):
        run.wait(10)
    second.rows += second.ledger.book_known(chain, second.now - 6)
    first.stop()
    overlay = overlay_of(first.rows, second)

    rows = overlay.lay(second.now)

    books = [(g.started_at, g.ended_at) for g in newest(rows) if g.scope == "book"]
    assert books == [(1_021, 1_025)]


@pytest.mark.parametrize("is_lost", [True, False], ids=["by both", "by the second"])
def test_ids_that_neither_run_has_are_named(is_lost):
    """In the gap of the first, whose reason is another."""
    chain = CHAINS[1]
    first, second = both_on(chain)
    if is_lost:
        first.rows += first.ledger.missed(chain, "stale_stream", 1_005, 1_015)
    ids = {"after_update_id": 7, "before_update_id": 9}
    second.rows += second.ledger.missed(chain, "sequence_gap", 1_010, 1_012, **ids)
    first.stop()
    overlay = overlay_of(first.rows, second)

    rows = overlay.lay(second.now)

    named = [
        (gap.reason, gap.started_at, gap.ended_at, gap.before_update_id)
        for gap in newest(rows)
        if gap.after_update_id == 7
    ]
    assert named == [("sequence_gap", 1_010, 1_010, 9)] * is_lost


def test_ids_that_are_missing_where_the_first_ended_are_named():
    """Also those that the second missed before, for the first was behind."""
    chain = CHAINS[1]
    first, second = Run("one", (chain,), 1_000), Run("two", (chain,), 1_000)
    for run in (first, second):
        run.covered(chain, 0, 0)
        run.wait(20)
    first.stop()
    joints = {chain: Joint(is_whole=False, holes=((6, 8), (9, 12)))}

    rows = overlay_of(first.rows, second, joints=joints).lay(second.now)

    named = [
        (g.reason, g.started_at, g.ended_at, g.after_update_id, g.before_update_id)
        for g in newest(rows)
        if g.after_update_id is not None
    ]
    at = first.now
    assert sorted(named) == [
        ("process_stopped", at, at, 6, 8),
        ("sequence_gap", at, at, 9, 12),
    ]


@pytest.mark.parametrize(
    ("has_ids", "expected"),
    [
        # What the second received then is stored later, and shows no book there.
        (True, [("resync", 1_005, 1_030)]),
        (False, []),
    ],
    ids=["with ids", "without"],
)
def test_a_book_with_ids_is_not_known_where_only_the_second_recorded(has_ids, expected):
    chain = CHAINS[1]
    first, second = Run("one", (chain,), 1_000), Run("two", (chain,), 1_000)
    for run in (first, second):
        run.covered(chain, 0, 0)
        run.wait(30)
    first.rows += first.ledger.missed(chain, "backpressure", 1_005, 1_030)
    first.wait(10)
    first.stop()
    joints = {chain: Joint(is_whole=True)} if has_ids else {}
    overlay = overlay_of(first.rows, second, joints=joints)

    rows = overlay.lay(first.now)

    books = [g for g in newest(rows) if g.scope == "book"]
    assert [(g.reason, g.started_at, g.ended_at) for g in books] == expected


def test_a_book_without_ids_is_known_where_the_second_knew_it():
    chain = CHAINS[1]
    first, second = Run("one", (chain,), 1_000), Run("two", (chain,), 1_000)
    for run in (first, second):
        run.covered(chain, 0, 0)
        run.wait(10)
    first.rows += first.ledger.book_lost(chain, "resync", 1_010)
    second.wait(5)
    second.rows += second.ledger.book_lost(chain, "resync", 1_015)
    for run in (first, second):
        run.wait(10)
    first.rows += first.ledger.book_known(chain, 1_030)
    first.wait(20)
    first.stop()
    overlay = overlay_of(first.rows, second)

    rows = overlay.lay(first.now)

    theirs = [g for g in newest(rows) if g.scope == "book" and g.ended_at is not None]
    assert sorted((g.started_at, g.ended_at) for g in theirs) == [
        (1_010, 1_010),
        (1_015, 1_030),
    ]


def test_what_a_killed_run_stored_after_its_last_sign_of_life_is_not_vouched_for():
    chain = CHAINS[1]
    first, second = both_on(chain)
    first.stop()
    overlay = overlay_of(first.rows, second, joints={chain: Joint(is_whole=True)})
    (seam,) = [gap for gap in newest(overlay.lay(second.now)) if gap.scope == "rows"]
    last_at = seam.ended_at + 7

    (book,) = overlay.unvouched({chain: last_at})
    reopened, lost = overlay.reopened([chain], last_at)

    assert (book.scope, book.started_at, book.ended_at) == (
        "book",
        seam.ended_at,
        last_at + 1,
    )
    assert (reopened.gap_id, reopened.healed_by) == (seam.gap_id, None)
    assert (lost.scope, lost.started_at, lost.ended_at) == (
        "rows",
        last_at + 1,
        last_at + 1,
    )
    assert overlay.unvouched({chain: seam.ended_at - 1}) == []
    assert len(overlay.reopened([chain], seam.ended_at)) == 1
