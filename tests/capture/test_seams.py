"""Where the books of two runs meet: the capture knows what a replay knows."""

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st

from recorder.capture.seams import is_unknown_at_end, joint, seam
from recorder.continuity import Continuity
from recorder.model import TAKEN_OVER, DepthUpdate, Gap
from recorder.replay.book import OrderBook
from recorder.store.overlay import Joint
from recorder.store.unlaid import Last
from recorder.transitions import ADOPT, IN_BAND, JOIN, PROVEN, WAIT


ENDED_AT = 1_000
LAST = 50
"""The last id that the first run stored."""


def update(first, until):
    return DepthUpdate(
        market="BTC_USDT",
        stream="depth:100ms",
        ts_event=None,
        is_snapshot=False,
        first_update_id=first,
        last_update_id=until,
        bids=(),
        asks=(),
        depth_limit=100,
        origin="live",
    )


def snapshot(until, origin="rest"):
    return msgspec.structs.replace(update(None, until), is_snapshot=True, origin=origin)


def gap(scope="rows", reason="process_killed", started_at=ENDED_AT, ended_at=ENDED_AT):
    return Gap(
        gap_id="run.1",
        market=None,
        stream=None,
        job="job",
        scope=scope,
        reason=reason,
        started_at=started_at,
        ended_at=ended_at,
    )


WHOLE = Joint(is_whole=True)


def rows_of(messages):
    return [(ENDED_AT + n, "two.0", n, 0, e, None) for n, e in enumerate(messages)]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([update(1, 50), update(51, 60)], WHOLE),
        ([update(45, 47), update(51, 60)], WHOLE),
        ([update(1, 49), update(50, 60)], WHOLE),
        ([update(1, 50)], WHOLE),
        ([update(1, 49)], Joint()),  # what follows may be on its way
        ([], Joint()),
        ([snapshot(70)], Joint()),
        ([update(55, 60), snapshot(70)], Joint(False, ((50, 55),))),
        ([update(40, 48), update(55, 60)], Joint(False, ((50, 55),))),
        ([snapshot(50, "live"), update(51, 51)], WHOLE),
        ([snapshot(49, "live"), update(50, 51)], WHOLE),
        ([snapshot(52, "live"), update(53, 53)], Joint(False, ((50, 53),))),
        ([snapshot(52, "live")], Joint(False, ((50, 53),))),
        # What the second missed while the first was behind.
        ([update(51, 52), update(55, 56)], Joint(True, ((52, 55),))),
        ([update(51, 52), update(55, 56), update(53, 54)], Joint(True, ((52, 55),))),
        ([update(53, 53), update(55, 56)], Joint(False, ((50, 53), (53, 55)))),
        # Of what it missed later its ledger tells.
        ([update(51, 51)] * 5 + [update(55, 56)], WHOLE),
    ],
)
def test_ids_that_neither_run_has_are_found(messages, expected):
    rows, last = rows_of(messages), Last(LAST, ENDED_AT)

    assert joint(rows, last, ENDED_AT + 4, has_updates=True) == expected


def test_of_whole_books_ids_tell_nothing():
    rows = rows_of([snapshot(45, "live"), snapshot(55, "live")])

    found = joint(rows, Last(LAST, ENDED_AT), ENDED_AT + 4, has_updates=False)

    assert found == Joint()


class Capture:
    """What a capture makes of messages; a snapshot that waits is stored once it is
    proved, before the update that proves it."""

    def __init__(self):
        self.chain = Continuity()
        self.waiting = None

    def take(self, event):
        """Return what is stored of a message."""
        if event.is_snapshot:
            origin = IN_BAND if event.origin == "live" else PROVEN
            verdict = self.chain.snapshot(event.last_update_id, origin)
            if verdict.action == WAIT:
                self.waiting = event
            is_stored = verdict.action == ADOPT or event.origin == "live"
            return [event] if is_stored and not verdict.is_double else []
        verdict = self.chain.update(event.first_update_id, event.last_update_id)
        if verdict.action == JOIN:
            return [self.waiting, event]
        return [] if verdict.is_double else [event]


@st.composite
def second_runs(draw):
    """What a second run received until it takes over, and afterwards."""
    at = draw(st.integers(LAST - 12, LAST + 4))
    messages = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["update"] * 6 + ["jump", "rest", "live", "lost"]))
        if kind == "update":
            size = draw(st.integers(1, 4))
            messages.append(update(at + 1, at + size))
            at += size
        elif kind == "jump":
            at += draw(st.integers(1, 5))
        elif kind == "lost":
            messages.append(None)
        elif kind == "rest":
            messages.append(snapshot(at + draw(st.integers(-3, 3))))
        else:
            at += draw(st.integers(0, 3))
            messages.append(snapshot(at, "live"))
    later = draw(st.integers(0, len(messages)))
    return messages[:later], messages[later:]


def followed(book, told):
    """Show a book rows and gaps; return when it was not known."""
    unknown, lost_at = [], None
    for at, _, one in sorted(told, key=lambda row: row[:2]):
        book.apply(one)
        if not book.is_known:
            lost_at = at if lost_at is None else lost_at
        elif lost_at is not None:
            unknown.append((lost_at, at))
            lost_at = None
    return tuple(unknown)


@settings(max_examples=300)
@given(
    run=second_runs(),
    is_known=st.booleans(),
    is_healed=st.booleans(),
    lasting=st.integers(0, 1),
    is_image=st.booleans(),
)
@example(  # an older book went on where the first had lost its own
    run=([snapshot(44), update(44, 46), update(47, 49)], [update(50, 53)]),
    is_known=False,
    is_healed=True,
    lasting=0,
    is_image=False,
)
def test_a_replay_knows_the_book_when_the_capture_does(
    run, is_known, is_healed, lasting, is_image
):
    """Also after what comes next, and with the very same id."""
    before, after = run
    capture, held = Capture(), []
    told = [
        msgspec.structs.replace(
            gap(ended_at=ENDED_AT + lasting),
            healed_by=TAKEN_OVER if is_healed and not lasting else None,
        )
    ]
    for number, event in enumerate(before):
        at = ENDED_AT + 2 + number
        if event is None:
            capture.chain.lost()
            told.append(gap(reason="connect_lost", started_at=at, ended_at=at))
        else:
            stored = capture.take(event)
            held += [(at, "two.0", number, n, e, None) for n, e in enumerate(stored)]

    last = Last(LAST, ENDED_AT, is_image)
    found = seam(capture.chain, last, held, told, was_known=is_known)

    book = OrderBook()
    book.apply(snapshot(LAST - 5))
    book.apply(update(LAST - 4, LAST - 1))
    book.apply(snapshot(LAST, "live") if is_image else update(LAST, LAST))
    if not is_known:
        book.apply(gap("book", "audit_mismatch"))
    assert book.is_known == is_known
    if found.is_torn:
        capture.chain = found.continuity
        told[0] = msgspec.structs.replace(told[0], healed_by=None)
        told = told[:1]
    marks = [(one.started_at, 0, one) for one in told]
    rows = [
        (at, 1, event)
        for at, _, _, _, event, _ in held
        if not found.is_torn and event.last_update_id > LAST
    ]
    unknown = followed(book, marks + rows)
    if not found.is_torn:
        assert found.unknown == unknown
    assert_alike(book, capture.chain)
    for event in after:
        if event is None:
            capture.chain.lost()
            book.apply(gap(reason="connect_lost"))
        else:
            for stored in capture.take(event):
                book.apply(stored)
        assert_alike(book, capture.chain)


def assert_alike(book, mine):
    assert book.is_known == mine.is_live
    if mine.is_live:
        assert book.last_update_id == mine.applied


@pytest.mark.parametrize(
    ("told", "is_unknown"),
    [
        (gap("book", "resync", 5, 20), True),
        (gap("book", "resync", 5, None), True),
        (gap("book", "resync", 5, 19), False),
        (gap("rows", "process_stopped", 12, 13), True),  # then the clock was set
        (gap("rows", "clock_step", 13, 20), False),
        (gap("times", "clock_step", 13, 30), False),
        (gap("rows", "connect_lost", 5, 9), False),
        (gap("rows", "process_stopped", 20, None), False),  # that is the end
    ],
)
def test_whether_a_book_is_known_where_a_run_ended(told, is_unknown):
    assert is_unknown_at_end(told, Last(7, 10), 20) == is_unknown
