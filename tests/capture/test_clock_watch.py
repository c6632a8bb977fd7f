"""The wall clock is set, the process stands still: what a session makes of it."""

import msgspec
import pytest

from recorder.capture.clock_watch import SETTLING_NS, STANDSTILL_NS
from recorder.capture.doubles import Doubles
from recorder.capture.session import ANSWER_SECONDS, Session
from recorder.clock import LOOK_NS, SystemClock
from recorder.model import Chain, Coverage, Gap
from recorder.store.layout import DAY_NS
from recorder.store.ledger import Ledger


S = 1_000_000_000
T0 = 19_000 * DAY_NS + 1_000 * S
TRADES, BARE = Chain("BTC_USDT", "trades"), Chain("BTC_USDT", "depth:bare")


class Machine:
    """A machine with a session on it, whose clocks do as they are told."""

    def __init__(self, source, chains, behind=0):
        self.counted = 55 * S
        self.lead = T0 - self.counted - behind
        self.clock = SystemClock(
            T0 if behind else 0,
            wall=lambda: self.counted + self.lead,
            counting=lambda: self.counted,
        )
        self.chains = chains
        self.stored = []
        self.session = Session(
            source,
            {},
            chains,
            run="run",
            clock=self.clock,
            ledger=Ledger("job", "run", chains),
            doubles=Doubles(),
        )

    def open(self, *, is_answered=True):
        link = self.session.opened("run.1", "ws://x/", self.chains, self.clock.now_ns())
        while link.outbox:
            self.session.sent(link, link.outbox.popleft(), self.clock.now_ns())
        if is_answered:
            self.say(link, ["ok", self.chains])
        return link

    def say(self, link, *items):
        at = self.clock.now_ns()
        self.session.frame(link, at, msgspec.json.encode(items), opcode="text")
        return at

    def go_on(self, seconds):
        """Let time go by, a tick a second."""
        for _ in range(seconds):
            self.counted += S
            self.session.tick(self.clock.now_ns())

    def stand_still(self, seconds):
        """Let time go by, and nothing be done."""
        self.counted += seconds * S

    def rows(self, kind):
        flush = self.session.take(self.clock.now_ns())
        self.heard = flush.heard
        for rows in flush.rows.values():
            self.stored += [row[4] for row in rows]
        return [event for event in self.stored if isinstance(event, kind)]

    def gaps(self):
        newest = {gap.gap_id: gap for gap in self.rows(Gap)}
        return [gap for gap in newest.values() if gap.reason != "not_started"]

    def stop(self):
        at = self.clock.now_ns()
        self.session.stop(at)
        self.session.settle()
        return at


@pytest.fixture
def machine_of(fake):
    return lambda *chains, **how: Machine(fake, chains, **how)


def spans(events):
    return [(event.started_at, event.ended_at) for event in events]


def test_a_step_forward_is_a_gap_of_the_instants_that_never_were(machine_of, caplog):
    machine = machine_of(TRADES, Chain("ETH_USDT", "trades"))
    link = machine.open()
    machine.go_on(10)
    before = machine.say(link, ["trade", "BTC_USDT", 1])
    machine.lead += 3_600 * S
    machine.go_on(1)
    after = machine.say(link, ["trade", "BTC_USDT", 2])
    machine.go_on(60)
    machine.say(link, ["trade", "BTC_USDT", 3])
    end = machine.stop()

    [step, *_] = machine.gaps()
    assert (step.reason, step.scope, step.market, step.stream) == (
        "clock_step",
        "rows",
        None,
        None,
    )
    assert step.detail == "the wall clock was set forward by 3600.000 s"
    assert (step.ended_at or 0) - step.started_at == 3_600 * S
    assert before < step.started_at < (step.ended_at or 0) <= after < end
    covered = [c for c in machine.rows(Coverage) if c.market == "BTC_USDT"]
    assert [c.ended_at for c in covered][:-1] == [step.started_at]
    assert [c.started_at for c in covered][1:] == [step.ended_at]
    assert "the wall clock was set" in caplog.text


def test_a_step_back_misses_nothing_and_says_so(machine_of, caplog):
    machine = machine_of(TRADES)
    link = machine.open()
    machine.go_on(10)
    before = machine.say(link, ["trade", "BTC_USDT", 1])
    machine.lead -= 5 * S
    machine.go_on(1)
    after = machine.say(link, ["trade", "BTC_USDT", 2])
    machine.go_on(30)

    [step] = machine.gaps()
    assert (step.reason, step.scope) == ("clock_step", "times")
    assert step.detail == "the wall clock was set back by 5.000 s"
    assert (step.ended_at or 0) - step.started_at == 5 * S
    assert before < after
    machine.say(link, ["trade", "BTC_USDT", 3])
    end = machine.stop()
    [covered] = machine.rows(Coverage)
    assert covered.ended_at == end
    assert "the wall clock was set" in caplog.text


def test_a_run_that_begins_before_the_end_of_the_last_says_so(machine_of, caplog):
    machine = machine_of(TRADES, behind=3 * 3_600 * S)

    [step] = machine.gaps()

    assert (step.reason, step.scope) == ("clock_step", "times")
    assert spans([step]) == [(T0, T0 + 3 * 3_600 * S)]
    assert "behind the newest rows of the store" in caplog.text


def test_a_step_over_midnights_does_not_claim_them(machine_of):
    machine = machine_of(TRADES)
    link = machine.open()
    machine.go_on(3)
    machine.lead += 3 * DAY_NS
    machine.go_on(10)
    machine.say(link, ["trade", "BTC_USDT", 1])
    machine.stop()

    covered = machine.rows(Coverage)
    assert sum(c.ended_at - c.started_at for c in covered) <= 14 * S


def test_what_is_in_doubt_is_not_written_because_days_were_skipped(machine_of):
    machine = machine_of(TRADES)
    link = machine.open()
    machine.go_on(1)
    known = machine.clock.now_ns()
    machine.stand_still(20)
    machine.lead += 3 * DAY_NS
    machine.go_on(5)
    machine.session.closed(link, machine.clock.now_ns(), None, "gone")
    machine.stop()

    assert max(c.ended_at for c in machine.rows(Coverage)) <= known + 1


def test_what_waited_while_the_process_stood_still_is_read_and_nothing_missing(
    machine_of, caplog
):
    machine = machine_of(TRADES)
    link = machine.open()
    machine.go_on(5)
    machine.stand_still(600)
    late = machine.say(link, ["trade", "BTC_USDT", 1])
    machine.go_on(30)
    machine.say(link, ["trade", "BTC_USDT", 2])
    machine.go_on(2)
    last = machine.say(link, ["trade", "BTC_USDT", 3])
    machine.go_on(1)
    machine.session.closed(link, machine.clock.now_ns(), None, "gone")

    [lost] = machine.gaps()
    assert late >= T0 + 600 * S
    assert (lost.reason, lost.started_at) == ("connect_lost", last + 1)
    assert "the process stood still" in caplog.text


@pytest.mark.parametrize("later", [0, 3])
def test_a_connection_lost_after_a_standstill_is_missing_since_then(machine_of, later):
    machine = machine_of(TRADES)
    link = machine.open()
    machine.go_on(5)
    known = machine.clock.now_ns()
    machine.stand_still(600)
    for number in range(5):  # what stood in the buffers when the venue gave it up
        machine.say(link, ["trade", "BTC_USDT", number])
    machine.go_on(later)
    machine.session.closed(link, machine.clock.now_ns(), None, "gone")

    unread, lost = machine.gaps()
    assert (unread.reason, lost.reason) == ("backpressure", "connect_lost")
    assert known - S <= unread.started_at <= known + 1
    assert unread.ended_at == lost.started_at


def test_so_it_is_if_the_run_is_killed_or_stopped_then(machine_of):
    machine = machine_of(TRADES)
    link = machine.open()
    machine.go_on(5)
    known = machine.clock.now_ns()
    machine.stand_still(600)
    machine.say(link, ["trade", "BTC_USDT", 1])
    machine.rows(Gap)

    assert machine.heard[0] <= known + 1
    machine.stop()
    unread, stopped = machine.gaps()
    assert (unread.reason, stopped.reason) == ("backpressure", "process_stopped")
    assert unread.started_at <= known + 1
    assert unread.ended_at == stopped.started_at


def test_nothing_is_overdue_until_what_waited_is_read(machine_of):
    machine = machine_of(TRADES, BARE)
    link = machine.open(is_answered=False)
    machine.stand_still(int(ANSWER_SECONDS) + 600)
    machine.go_on(1)
    assert not link.is_dead

    machine.say(link, ["ok", machine.chains])
    machine.say(link, ["image", "BTC_USDT"])
    machine.go_on(60)
    missing = [gap for gap in machine.gaps() if gap.scope == "rows"]
    assert (link.is_dead, missing) == (False, [])


def test_what_is_overdue_even_so_is_given_up(machine_of):
    machine = machine_of(TRADES)
    link = machine.open(is_answered=False)
    machine.stand_still(int(ANSWER_SECONDS) + 600)
    machine.go_on(1 + SETTLING_NS // S)

    assert link.is_dead


def test_a_second_that_took_a_little_longer_is_no_standstill(machine_of, caplog):
    machine = machine_of(TRADES)
    machine.open()
    for _ in range(5):
        machine.counted += STANDSTILL_NS - LOOK_NS
        machine.session.tick(machine.clock.now_ns())

    assert "stood still" not in caplog.text
