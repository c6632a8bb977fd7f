"""Coverage of all jobs laid over each other, against sets of seconds."""

from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recorder.model import Coverage, Gap
from recorder.query.spans import islands_of, length_before
from recorder.query.store import open_store
from recorder.store.run import OpenInterval, RunState, open_run


S = 1_000_000_000


@pytest.fixture
def write(maker):
    """Write intervals: (market, job, start, end) and gaps with more facts."""
    numbers = count()

    def write(covered=(), gaps=()):
        at = maker.noon
        rows = [
            (
                at,
                Coverage(
                    market=market,
                    stream="trades",
                    job=job,
                    started_at=at + start * S,
                    ended_at=at + end * S,
                    closed_by="gap",
                ),
            )
            for market, job, start, end in covered
        ]
        told = [
            (
                at,
                Gap(
                    **{
                        "gap_id": f"gap.{next(numbers)}",
                        "stream": "trades",
                        "scope": "rows",
                        "reason": "connect_lost",
                        **facts,
                    },
                    market=market,
                    job=job,
                    started_at=at + start * S,
                    ended_at=None if end is None else at + end * S,
                ),
            )
            for market, job, start, end, facts in gaps
        ]
        for part in (rows, told):
            if part:
                maker.segment(part)
        return open_store(maker.root)

    return write


def seconds(maker, spans):
    return [[(at - maker.noon) / S for at in span] for span in spans.tolist()]


def test_what_any_job_covers_is_covered_and_each_job_has_its_own_account(write, maker):
    store = write(
        covered=[("A", "one", 0, 60), ("A", "two", 50, 100)],
        gaps=[
            ("A", "one", 60, None, {"reason": "process_stopped"}),
            ("A", "two", 40, 50, {"reason": "not_started"}),
        ],
    )

    [chain] = store.coverage().chains

    account = chain.account
    assert (account.covered_ns, account.missing_ns) == (100 * S, 0)
    assert (account.covered_share, account.gaps.all, account.gaps.open) == (1.0, 2, 1)
    assert seconds(maker, chain.covered) == [[0, 100]]
    assert chain.missing.tolist() == []
    one, two = chain.jobs
    assert (one.job, one.account.covered_ns, one.account.missing_ns) == (
        "one",
        60 * S,
        40 * S,
    )
    assert (two.job, two.account.covered_ns, two.account.missing_ns) == (
        "two",
        50 * S,
        10 * S,
    )


def test_what_was_healed_is_here_and_not_covered(write, maker):
    store = write(
        covered=[("A", "job", 0, 10), ("A", "job", 20, 30), ("A", "job", 40, 50)],
        gaps=[
            ("A", "job", 10, 20, {"healed_by": "backfill"}),
            ("A", "job", 30, 40, {}),
        ],
    )

    [chain] = store.coverage().chains

    account = chain.account
    assert (account.covered_ns, account.healed_ns, account.missing_ns) == (
        30 * S,
        10 * S,
        10 * S,
    )
    assert (account.gaps.all, account.gaps.healed) == (2, 1)
    assert seconds(maker, chain.here) == [[0, 30], [40, 50]]
    assert seconds(maker, chain.missing) == [[30, 40]]


def test_a_gap_of_a_whole_job_is_one_of_each_of_its_chains(write):
    store = write(
        covered=[
            (market, job, *span)
            for market, job in (("A", "job"), ("B", "job"), ("A", "other"))
            for span in ((0, 10), (15, 20))
        ],
        gaps=[(None, "job", 10, 15, {"stream": None, "reason": "backpressure"})],
    )

    a, b = store.coverage().chains

    assert [job.account.missing_ns for job in a.jobs] == [5 * S, 0]
    assert b.account.missing_ns == 5 * S
    assert (a.account.gaps.all, b.account.gaps.all) == (1, 1)
    assert [chain.market for chain in store.coverage(market="B").chains] == ["B"]
    assert len(store.coverage(market="B").gaps) == 1


def test_a_gap_of_a_whole_job_is_none_of_a_chain_that_it_did_not_record_then(write):
    of_all = {"stream": None, "reason": "backpressure"}
    store = write(
        covered=[
            *(("A", "job", start, end) for start, end in ((0, 5), (6, 25), (26, 45))),
            *(("B", "job", start, end) for start, end in ((20, 25), (26, 30))),
        ],
        gaps=[
            *((None, "job", start, start + 1, of_all) for start in (5, 25, 45)),
            ("A", "job", 46, None, {}),
            ("B", "job", 30, 40, {}),
        ],
    )

    for facts in ({}, {"market": "B"}):
        *_, b = store.coverage(**facts).chains
        assert (b.ended_at - b.started_at) == 20 * S
        assert (b.account.covered_ns, b.account.missing_ns) == (9 * S, 11 * S)
        assert b.account.gaps.all == 2


def test_gaps_of_the_book_and_of_the_times_take_nothing(write):
    store = write(
        covered=[("A", "job", 0, 10)],
        gaps=[
            ("A", "job", 2, 4, {"scope": "book", "reason": "resync"}),
            (None, "job", 5, 9, {"scope": "times", "stream": None}),
        ],
    )

    report = store.coverage()

    assert report.chains[0].account.covered_share == 1.0
    assert report.chains[0].account.gaps.all == 0
    assert [gap.scope for gap in report.gaps] == ["book", "times"]
    assert store.coverage(with_gaps=False).gaps == ()


def test_a_gap_that_lasts_reaches_to_the_last_instant_known_to_the_store(write):
    store = write(
        covered=[("A", "job", 0, 10), ("B", "other", 0, 100)],
        gaps=[("A", "job", 10, None, {})],
    )

    for report in (store.coverage(), store.coverage(job="job")):
        assert report.chains[0].account.missing_ns == 90 * S
        assert report.chains[0].account.gaps.open == 1


def test_a_living_run_is_covered_as_far_as_its_rows_are_on_the_disk(write, maker):
    store = write(covered=[("A", "job", 0, 10)])
    run = open_run(maker.root, job="job", source="gate_spot", now_ns=maker.noon)
    interval = OpenInterval("A", "trades", maker.noon + 10 * S)
    run.write_state(RunState(intervals=(interval,)), maker.noon + 12 * S)
    run.heartbeat(maker.noon + 25 * S)

    living = store.coverage()
    run.abandon()
    dead = store.coverage()

    assert living.chains[0].account.covered_ns == 25 * S
    assert living.chains[0].ended_at == maker.noon + 25 * S
    assert (living.died, [d.run for d in dead.died]) == ((), [run.id])
    assert dead.chains[0].account.covered_ns == 25 * S


def test_an_empty_store_has_no_coverage(maker):
    report = open_store(maker.root).coverage()

    assert (report.chains, report.sources, report.started_at) == ((), {}, 0)


SPANS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(0, 12)), max_size=25
)


@settings(max_examples=300)
@given(SPANS)
def test_the_union_of_intervals_is_that_of_their_instants(spans):
    groups, starts, lengths = np.array(spans, np.int64).reshape(-1, 3).T
    islands = islands_of(groups, starts, starts + lengths)

    for group in range(4):
        mine = islands.of(group)
        instants = {
            at
            for whose, start, length in spans
            if whose == group
            for at in range(start, start + length)
        }
        assert {
            at for start, end in mine.tolist() for at in range(start, end)
        } == instants
        assert np.all(mine[1:, 0] > mine[:-1, 1])
        assert islands.totals(4)[group] == len(instants)
        before = length_before(mine, np.arange(60))
        assert before.tolist() == [sum(i < at for i in instants) for at in range(60)]
