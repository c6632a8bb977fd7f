"""Accounts, against a walk over every single instant."""

from hypothesis import given, strategies as st

from recorder.verify.checks.accounts import FOREVER, Span, audit, ends


spans = st.lists(
    st.builds(
        lambda start, length, what: Span(start, start + length, what, "id"),
        st.integers(0, 20),
        st.integers(0, 6),
        st.sampled_from(["coverage", "connect_lost", "process_stopped"]),
    ),
    max_size=8,
)


@given(spans)
def test_every_instant_is_told_once_or_found(given_):
    told = {at: [] for at in range(40)}
    for span in given_:
        for at in range(span.start, span.end):
            told[at].append(span)
    long = [span for span in given_ if span.start < span.end]
    first = min((span.start for span in long), default=0)
    last = max((span.end for span in long), default=0)

    faults = audit(given_)

    holes = {
        at
        for fault in faults
        if fault.kind == "untold_time"
        for at in range(fault.start, fault.end)
    }
    twice = {
        at
        for fault in faults
        if fault.kind != "untold_time"
        for at in range(fault.start, fault.end)
    }
    assert holes == {at for at in range(first, last) if not told[at]}
    assert twice == {at for at in range(40) if len(told[at]) > 1}


def test_a_chain_that_is_no_longer_listed_may_come_back_later():
    spans = [
        Span(0, 5, "coverage", ""),
        Span(5, 9, "process_stopped", "a", ends_listing=True),
        Span(20, 30, "not_started", "b"),
        Span(30, FOREVER, "coverage", ""),
    ]

    assert audit(spans) == []
    assert not ends(spans)
    assert not ends(spans[:2])
    assert ends(spans[:1])


def test_what_overlaps_is_named():
    spans = [
        Span(0, 10, "coverage", ""),
        Span(8, 12, "connect_lost", "r.1"),
        Span(11, 15, "process_stopped", "r.2"),
        Span(14, 20, "coverage", ""),
        Span(19, 21, "coverage", ""),
    ]

    assert [fault.kind for fault in audit(spans)] == [
        "coverage_in_gap",
        "missed_twice",
        "coverage_in_gap",
        "covered_twice",
    ]
