"""The sequence check against the truth: books whose every change is known."""

import pytest
from hypothesis import given, strategies as st

from recorder import transitions as c
from recorder.continuity import ID_MAX, Continuity, Verdict


KEYS = 4


def truth_at(change: int) -> dict[int, int]:
    """The true book after a change: change n sets key n % KEYS to n."""
    return {number % KEYS: number for number in range(1, change + 1)}


def net(first: int, last: int) -> dict[int, int]:
    """What an update with the changes from first to last says."""
    return {number % KEYS: number for number in range(first, last + 1)}


class Caller:
    """Does what the docstring of `Continuity` asks of a caller."""

    def __init__(self) -> None:
        self.chain = Continuity()
        self.book: dict[int, int] = {}
        self.held: list[tuple[int, int]] = []
        self.waiting = -1

    def update(self, first: int, last: int) -> Verdict:
        verdict = self.chain.update(first, last)
        if verdict.action == c.APPLY:
            self.held.clear()
            self.book.update(net(first, last))
        elif verdict.action == c.RESTART:
            self.held = [(first, last)]
        elif verdict.action == c.HOLD:
            self.held.append((first, last))
        elif verdict.action == c.JOIN:
            self.held.append((first, last))
            self.adopt(self.waiting)
        return verdict

    def snapshot(self, base: int, origin: int = c.PROVEN) -> Verdict:
        verdict = self.chain.snapshot(base, origin)
        if verdict.action == c.ADOPT:
            self.adopt(base)
        elif verdict.action == c.WAIT:
            self.waiting = base
        return verdict

    def adopt(self, base: int) -> None:
        self.book = truth_at(base)
        for first, last in self.held:
            if last > base:
                self.book.update(net(first, last))
        self.held.clear()

    def lost(self) -> Verdict:
        self.held.clear()
        return self.chain.lost()

    def crossed(self) -> Verdict:
        self.held.clear()
        return self.chain.crossed()

    def doubted(self) -> Verdict:
        verdict = self.chain.doubted()
        if verdict.action == c.DROP:
            self.held.clear()
        return verdict


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=30)
FAULTS = st.sampled_from(
    [
        "none",
        "none",
        "none",
        "drop",
        "double",
        "lost",
        "crossed",
        "fresh",
        "old",
        "full",
        "full",
        "doubted",
    ]
)


@given(SIZES, st.data())
def test_a_book_called_known_is_the_true_book_whatever_is_missing(sizes, data):
    caller, last, sent = Caller(), 0, []
    newest, was_repeated = 0, False

    for size in sizes:
        first, last = last + 1, last + size
        fault = data.draw(FAULTS)
        if fault == "drop":
            continue
        was_repeated |= fault == "double" and caller.chain.received == c.NO_ID
        if fault == "lost":
            caller.lost()
        elif fault == "crossed":
            caller.crossed()
        elif fault == "doubted":
            caller.doubted()
        elif fault == "fresh":
            caller.snapshot(data.draw(st.integers(max(0, last - 3), last + 3)))
        elif fault == "old":
            caller.snapshot(data.draw(st.integers(0, last)))
        elif fault == "full":
            caller.snapshot(last, c.IN_BAND)
        elif fault == "double" and sent:
            caller.update(*data.draw(st.sampled_from(sent)))
        check(caller, newest if not was_repeated else 0)
        sent.append((first, last))
        newest = last
        caller.update(first, last)
        check(caller, newest)
        was_repeated = False


def check(caller, newest):
    """A known book is true, and not older than what had been received."""
    if caller.chain.is_live:
        assert caller.book == truth_at(caller.chain.applied)
        assert caller.chain.applied >= newest


@given(SIZES, st.data())
def test_a_whole_chain_is_known_from_a_snapshot_that_reaches_back_to_it(sizes, data):
    caller, last = Caller(), 10
    bounds = []
    for size in sizes:
        first, last = last + 1, last + size
        caller.update(first, last)
        bounds.append(last)
    base = data.draw(st.integers(10, last + 5))
    origin = data.draw(st.sampled_from([c.PROVEN, c.ASKED]))

    caller.snapshot(base, origin)
    assert caller.chain.is_live == (base <= last)
    for size in sizes:
        first, last = last + 1, last + size
        caller.update(first, last)

        assert caller.chain.is_live == (base <= last)
        if not caller.chain.is_live:
            continue
        assert caller.chain.applied == last
        assert caller.book == truth_at(caller.chain.applied)


@given(SIZES, st.data())
def test_a_loss_of_nothing_is_over_with_the_next_update(sizes, data):
    caller, last = Caller(), 0
    base = data.draw(st.integers(0, sizes[0]))
    caller.snapshot(base)

    for size in sizes:
        if data.draw(st.booleans()):
            caller.lost()
            assert not caller.chain.is_live
        first, last = last + 1, last + size
        caller.update(first, last)

        if last > base:
            assert caller.chain.is_live
            assert caller.chain.applied == last
            assert caller.book == truth_at(last)


@given(SIZES, st.data())
def test_any_single_lost_update_is_one_row_gap(sizes, data):
    missing = data.draw(st.integers(1, len(sizes)))
    chain, last = Continuity(), 0
    gaps = []

    for number, size in enumerate([*sizes, 1, 1]):
        first, last = last + 1, last + size
        if number != missing:
            verdict = chain.update(first, last)
            if verdict.is_row_gap:
                gaps.append(number)

    assert gaps == [missing + 1]


STEPS = st.one_of(
    st.tuples(st.just("update"), st.integers(0, 12), st.integers(0, 4)),
    st.tuples(st.just("snapshot"), st.none() | st.integers(0, 14), st.integers(0, 2)),
    st.tuples(st.just("bare"), st.none(), st.none() | st.integers(0, 16)),
    st.tuples(st.just("lost"), st.none(), st.none()),
    st.tuples(st.just("crossed"), st.none(), st.none()),
    st.tuples(st.just("doubted"), st.none(), st.none()),
)


def take(chain: Continuity, step: tuple[str, int, int]) -> Verdict:
    name, one, other = step
    if name == "update":
        return chain.update(one, one + other)
    if name == "snapshot":
        return chain.snapshot(one, other)
    if name == "bare":
        return chain.update(None, other)
    if name == "doubted":
        return chain.doubted()
    return chain.lost() if name == "lost" else chain.crossed()


@given(st.lists(STEPS, max_size=25))
def test_no_input_occurs_where_the_table_excludes_it(steps):
    chain = Continuity()

    for step in steps:
        before = chain.state
        verdict = take(chain, step)

        assert chain.state in range(len(c.STATE_NAMES))
        assert verdict.action in range(c.JOIN + 1)
        assert verdict.was_live == (before == c.LIVE)
        assert verdict.is_live == chain.is_live


@given(st.lists(STEPS, max_size=25), st.integers(0, 14), st.integers(0, 4))
def test_the_fast_way_takes_only_what_update_would_apply(steps, first, more):
    fast, slow = Continuity(), Continuity()
    for step in steps:
        take(fast, step)
        take(slow, step)

    taken = fast.follows(first, first + more)
    verdict = slow.update(first, first + more)

    if taken:
        assert (verdict.action, verdict.is_row_gap, verdict.is_double) == (
            c.APPLY,
            False,
            False,
        )
        assert verdict.was_live
        assert fast.__getattribute__("_fields") == slow.__getattribute__("_fields")


def test_the_fast_way_takes_an_update_that_continues_a_live_chain():
    chain = live(10)
    chain.update(11, 12)

    assert chain.follows(13, 15)
    assert (chain.applied, chain.received) == (15, 15)
    assert not chain.follows(17, 18)
    assert chain.applied == 15


def test_every_excluded_input_is_excluded_with_its_action():
    entries = [entry for row in c.TRANSITIONS for entry in row]

    assert all(len(row) == c.IN_REACHES + 1 for row in c.TRANSITIONS)
    assert all((state == -1) == (action == -1) for state, action in entries)


def live(base: int) -> Continuity:
    chain = Continuity()
    chain.snapshot(base, c.PROVEN)
    return chain


def test_the_first_update_must_bridge_the_snapshot_and_later_ones_continue():
    chain = live(10)

    assert chain.update(8, 10).action == c.SKIP
    assert chain.update(9, 12).action == c.APPLY
    assert chain.update(13, 13).action == c.APPLY
    assert chain.update(12, 14).action == c.RESTART
    assert not chain.is_live


def test_an_update_that_was_received_is_a_double_and_changes_nothing():
    chain = live(10)
    chain.update(11, 12)

    verdict = chain.update(11, 12)

    assert verdict.is_double
    assert verdict.action == c.SKIP
    assert verdict.applied == 12


def test_a_snapshot_older_than_what_is_held_is_refused():
    chain = Continuity()
    chain.update(20, 22)

    assert chain.snapshot(18, c.PROVEN).action == c.REFUSE
    assert chain.snapshot(19, c.PROVEN).action == c.ADOPT
    assert chain.applied == 22


def test_a_snapshot_older_than_a_known_book_is_left_alone():
    chain = live(10)

    verdict = chain.snapshot(9, c.IN_BAND)

    assert verdict.is_double
    assert chain.applied == 10


def doubted(base: int) -> Continuity:
    """A chain whose last message was a snapshot, and perhaps one that was lost."""
    chain = Continuity()
    chain.snapshot(base, c.IN_BAND)
    assert chain.doubted().action == c.DROP
    assert not chain.is_live
    return chain


def test_after_a_doubt_what_continues_a_snapshot_exactly_shows_it_again():
    chain = doubted(10)

    verdict = chain.update(11, 12)

    assert (verdict.action, verdict.applied) == (c.APPLY, 12)


def test_after_a_doubt_an_update_that_jumps_is_a_gap():
    chain = doubted(10)

    verdict = chain.update(12, 12)

    assert verdict.is_row_gap
    assert verdict.action == c.RESTART


def test_after_a_doubt_a_snapshot_shows_the_book_again_unless_it_is_older():
    chain = doubted(10)

    assert chain.snapshot(9, c.IN_BAND).action == c.REFUSE
    assert chain.snapshot(10, c.IN_BAND).action == c.ADOPT
    assert chain.doubted().action == c.DROP
    assert chain.snapshot(14, c.IN_BAND).action == c.ADOPT


def test_a_book_whose_last_message_was_an_update_or_was_asked_for_is_not_doubted():
    asked, updated, bare = live(10), live(10), Continuity()
    updated.update(11, 11)
    bare.snapshot(None, c.IN_BAND)

    for chain in (asked, updated, bare):
        assert chain.doubted().action == c.SKIP
        assert chain.is_live


def test_after_a_loss_a_snapshot_with_lower_ids_waits_for_an_update():
    chain = live(1000)
    chain.lost()

    assert chain.snapshot(5, c.PROVEN).action == c.WAIT
    assert chain.update(5, 7).action == c.JOIN
    assert chain.applied == 7


def test_what_had_come_is_not_forgotten_by_a_second_loss():
    chain = live(1)
    chain.update(3, 3)
    chain.lost()
    chain.lost()

    assert chain.update(2, 2).action == c.RESTART
    assert not chain.is_live


def test_after_a_loss_a_snapshot_among_the_updates_needs_no_proof():
    chain = live(1000)
    chain.lost()

    assert chain.snapshot(5, c.IN_BAND).action == c.ADOPT
    assert chain.update(6, 7).action == c.APPLY


def test_a_snapshot_beyond_the_updates_waits_until_they_reach_it():
    chain = Continuity()
    chain.update(20, 22)

    assert chain.snapshot(25, c.PROVEN).action == c.WAIT
    assert chain.update(23, 24).action == c.HOLD
    assert chain.update(25, 25).action == c.JOIN
    assert chain.update(26, 26).action == c.APPLY


def test_a_snapshot_of_an_old_numbering_is_never_adopted():
    chain = Continuity()
    chain.update(20, 22)

    assert chain.snapshot(90_000, c.ASKED).action == c.WAIT
    assert chain.update(23, 24).action == c.HOLD
    assert chain.snapshot(23, c.ASKED).action == c.ADOPT
    assert chain.update(25, 26).applied == 26


def test_a_snapshot_that_waits_is_forgotten_when_updates_begin_beyond_it():
    chain = Continuity()

    assert chain.snapshot(10, c.ASKED).action == c.WAIT
    assert chain.update(12, 13).action == c.RESTART
    assert chain.update(14, 14).action == c.HOLD
    assert not chain.is_live


def test_a_snapshot_with_nothing_received_is_adopted_only_if_it_is_proven():
    assert Continuity().snapshot(10, c.ASKED).action == c.WAIT
    assert Continuity().snapshot(10, c.PROVEN).action == c.ADOPT


def test_doubles_after_a_loss_do_not_keep_the_chain_from_going_on():
    chain = live(10)
    chain.update(11, 14)
    chain.lost()

    first = chain.update(9, 12)
    second = chain.update(13, 14)
    third = chain.update(15, 15)

    assert [first.action, second.action, third.action] == [c.RESTART, c.HOLD, c.APPLY]
    assert not first.is_double
    assert third.applied == 15


def test_a_snapshot_is_still_bridged_after_a_loss():
    chain = live(10)
    chain.lost()

    assert chain.update(9, 12).applied == 12


def test_a_crossed_book_is_not_mended_by_an_update():
    chain = live(10)
    chain.update(11, 11)
    chain.crossed()

    assert chain.update(12, 12).action == c.RESTART
    assert chain.snapshot(10, c.PROVEN).action == c.REFUSE
    assert chain.snapshot(11, c.PROVEN).action == c.ADOPT


def test_a_crossed_book_is_not_mended_by_a_loss():
    chain = live(10)
    chain.crossed()
    chain.lost()

    assert chain.update(11, 11).action == c.RESTART


def test_without_ids_a_snapshot_starts_and_a_loss_ends_the_book():
    chain = Continuity()

    assert chain.update(None, None).action == c.SKIP
    assert chain.snapshot(None, c.IN_BAND).action == c.ADOPT
    assert chain.update(None, None).action == c.APPLY
    assert chain.update(None, None).applied is None
    assert chain.lost().action == c.DROP
    assert chain.update(None, None).action == c.SKIP
    assert chain.snapshot(None, c.IN_BAND).is_live


def test_a_snapshot_without_id_is_of_no_use_to_updates_with_ids():
    chain = Continuity()
    chain.update(5, 6)

    assert chain.snapshot(None, c.IN_BAND).action == c.REFUSE


def test_updates_that_tell_their_last_id_alone_apply_to_a_live_book():
    chain = Continuity()

    assert chain.update(None, 4).action == c.SKIP
    chain.snapshot(5, c.IN_BAND)
    verdicts = [chain.update(None, last) for last in (7, 7, 12)]

    assert {verdict.action for verdict in verdicts} == {c.APPLY}
    assert not any(v.is_double or v.is_row_gap for v in verdicts)
    assert (chain.applied, chain.received) == (12, 12)
    assert chain.snapshot(12, c.IN_BAND).action == c.SKIP
    assert chain.snapshot(13, c.IN_BAND).action == c.ADOPT


@pytest.mark.parametrize(
    "lose", [Continuity.doubted, Continuity.lost, Continuity.crossed]
)
def test_only_a_snapshot_brings_a_book_back_whose_updates_tell_no_first_id(lose):
    chain = Continuity()
    chain.snapshot(5, c.IN_BAND)
    chain.update(None, 7)

    assert not lose(chain).is_live
    assert chain.update(None, 8).action == c.SKIP
    assert chain.snapshot(8, c.IN_BAND).is_live


def test_impossible_ids_are_refused():
    chain = Continuity()

    with pytest.raises(ValueError, match="a first id has a last one"):
        chain.update(5, None)
    with pytest.raises(ValueError, match="cannot have the id -1"):
        chain.update(None, -1)
    with pytest.raises(ValueError, match="run backwards: 5 to 4"):
        chain.update(5, 4)
    with pytest.raises(ValueError, match="id -7"):
        chain.snapshot(-7, c.IN_BAND)


def test_the_state_has_a_name():
    chain = Continuity()
    names = [chain.state_name]
    chain.update(5, 6)
    names.append(chain.state_name)
    assert chain.held_first == 5
    assert chain.received == 6
    chain.snapshot(6, c.PROVEN)
    names.append(chain.state_name)
    chain.lost()
    names.append(chain.state_name)

    assert names == ["unsynced", "aligning", "live", "broken"]


def test_an_id_after_which_no_other_can_be_named_is_none() -> None:
    chain = Continuity()
    chain.snapshot(ID_MAX - 1, c.PROVEN)

    with pytest.raises(ValueError, match="cannot have the id"):
        chain.update(ID_MAX, ID_MAX + 1)
    with pytest.raises(ValueError, match="cannot have the id"):
        chain.update(None, ID_MAX + 1)
    with pytest.raises(ValueError, match="cannot have the id"):
        chain.snapshot(ID_MAX + 1, c.PROVEN)
    assert not chain.follows(ID_MAX, ID_MAX + 1)
    assert chain.update(ID_MAX, ID_MAX).is_live
    assert not chain.lost().is_live
    assert chain.held_first == ID_MAX + 1
