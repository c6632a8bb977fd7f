"""Coverage against the truth: a venue, a machine, two jobs, and all that happens.

A venue executes a trade a second on each of two markets. Two jobs record them,
each over two connections, with everything that a capture has but its sockets:
session, ledger, run, writer, recovery, real files. The machine's wall clock is
set, the machine is held or sleeps, the processes are paused, stopped and killed;
connections are cut, die silently, or are given up by the venue while nobody reads.

The oracle knows when each trade was executed, and what our clock showed just
before and after. A trade that is not in the store must not lie where coverage is
claimed. And covered time and gaps of rows must fill the time of a job exactly.
"""

import os
import time
from bisect import bisect_right
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from recorder.capture.doubles import Doubles
from recorder.capture.session import Session
from recorder.clock import SystemClock
from recorder.errors import StoreError
from recorder.model import Chain
from recorder.store import last_instant
from recorder.store.layout import DAY_NS
from recorder.store.ledger import Ledger
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.store.revisions import first_instant, gaps_left_open
from recorder.store.run import open_run
from recorder.store.writer import Writer


S = 1_000_000_000
MIDNIGHT = 19_700 * DAY_NS
T0 = MIDNIGHT - 60 * S
A, B = Chain("A", "trades"), Chain("B", "trades")
CHAINS = (A, B)
BUFFER = 40
"""Frames that a connection's buffers hold before the venue gives it up."""


class Machine:
    """Real time, and the machine's clocks; all nanoseconds."""

    def __init__(self):
        self.now = 0
        self.held = 0
        self.lead = T0

    def counting(self):
        return self.now - self.held

    def wall(self):
        return self.counting() + self.lead


class Line:
    """A connection as the venue has it, and as the session knows it."""

    def __init__(self, chain):
        self.chain = chain
        self.link = None
        self.is_open = False
        self.is_noticed = True
        self.buffer = []

    def push(self, item):
        """Send a frame; give the peer up if it does not read."""
        if not self.is_open:
            return
        self.buffer.append(item)
        if len(self.buffer) > BUFFER:
            self.is_open, self.is_noticed = False, False

    def cut(self, *, is_noticed):
        """Let the connection die; what stood in the buffers is lost with it."""
        self.buffer.clear()
        self.is_open, self.is_noticed = False, is_noticed


class Job:
    """A job of the store, and its run if there is one."""

    def __init__(self, name, source, root, machine):
        self.name = name
        self.source = source
        self.root = root
        self.machine = machine
        self.session = None
        self.lines = {}
        self.lives = []
        self.conns = 0
        self.runs = set()

    @property
    def is_running(self):
        return self.session is not None

    def read(self):
        """Read our clock; remember what it showed, and when."""
        shown = self.clock.now_ns()
        self.lives[-1].append((self.machine.now, shown))
        return shown

    def begin(self, ends_in):
        wall = self.machine.wall()
        ends_at = None if ends_in is None else wall + ends_in * S
        self.run = open_run(
            self.root, job=self.name, source="fake", now_ns=wall, ends_at=ends_at
        )
        self.runs.add(self.run.id)
        recover(self.root)
        listing = open_listing(self.root)
        self.clock = SystemClock(
            first_instant(listing, "fake", wall),
            wall=self.machine.wall,
            counting=self.machine.counting,
        )
        left = gaps_left_open(listing, self.name)
        ledger = Ledger(self.name, self.run.id, CHAINS, left, self.run.stated_end)
        self.lives.append([])
        self.read()
        self.session = Session(
            self.source,
            {},
            CHAINS,
            run=self.run.id,
            clock=self.clock,
            ledger=ledger,
            doubles=Doubles(),
        )
        self.run.write_state(ledger.state(), self.read())
        self.writer = Writer(self.run)
        self.writer.start()
        self.flushes = 0
        self.lines = {chain: Line(chain) for chain in CHAINS}

    # Connections ----------------------------------------------------------

    def connect(self, chain, *, is_refused=False):
        line = self.lines[chain]
        if line.is_open or line.link is not None:
            return
        self.conns += 1
        name = f"{self.run.id}.{self.conns}"
        line.link = self.session.opened(name, "ws://x/", [chain], self.read())
        while line.link.outbox:
            self.session.sent(line.link, line.link.outbox.popleft(), self.read())
        if is_refused:
            self.hang_up(line)
            return
        line.is_open = line.is_noticed = True
        line.buffer.append(["ok", [chain]])
        self.drain(line)

    def drain(self, line):
        """Read what stands in the buffers of a connection, and its end."""
        if line.link is None:
            return
        for item in line.buffer:
            payload = msgspec.json.encode([item])
            self.session.frame(line.link, self.read(), payload, opcode="text")
        line.buffer.clear()
        if not line.is_open and not line.is_noticed:
            line.is_noticed = True
            self.hang_up(line)

    def hang_up(self, line):
        line.is_open = False
        line.buffer.clear()
        self.session.closed(line.link, self.read(), None, "gone")
        line.link = None

    # Time -----------------------------------------------------------------

    def work(self):
        for line in self.lines.values():
            self.drain(line)

    def tick(self):
        self.session.tick(self.read())
        for line in self.lines.values():
            if line.link is not None and line.link.is_dead:
                self.hang_up(line)

    def flush(self):
        flush = self.session.take(self.read())
        while not self.writer.submit(flush):
            time.sleep(0.0002)
        self.flushes += 1
        while self.writer.stats().flushes < self.flushes:
            time.sleep(0.0002)
        self.session.written(self.flushes)

    def stop(self):
        at = self.read()
        self.session.stop(at)
        for settle in (False, True):
            if settle:
                self.session.settle()
            while not self.writer.submit(self.session.take(at)):
                time.sleep(0.0002)
        self.writer.close()
        self.run.release()
        self.session = None

    def kill(self, monkeypatch):
        """End without a word; the journals stay as they are."""
        self.read()
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "_end_journals", _refuse)
            with suppress(StoreError):
                self.writer.close()
        self.run.abandon()
        self.session = None


def _refuse(*_args, **_how):
    raise StoreError("killed")


class World:
    """The venue, the machine, and both jobs."""

    def __init__(self, root, source, monkeypatch):
        self.root = root
        self.monkeypatch = monkeypatch
        self.machine = Machine()
        # Who recovers a run asks the machine how long ago it wrote last.
        monkeypatch.setattr(last_instant, "counting_ns", self.machine.counting)
        self.jobs = [Job(name, source, root, self.machine) for name in ("x", "y")]
        self.trades = []  # (real time, chain, id)

    def execute(self):
        """Let a second go by, in the middle of which the venue executes trades."""
        self.machine.now += S // 2
        for chain in CHAINS:
            number = len(self.trades) + 1
            self.trades.append((self.machine.now, chain, number))
            for job in self.jobs:
                if job.is_running:
                    job.lines[chain].push(["trade", chain.market, number])

    def seconds(self, count, *, reading=(0, 1)):
        """Let time go by, in which some of the jobs work."""
        for _ in range(count):
            self.execute()
            working = [self.jobs[n] for n in reading if self.jobs[n].is_running]
            for job in working:
                job.work()
            self.machine.now += S // 2
            for job in working:
                job.tick()

    # What may happen ------------------------------------------------------

    def do(self, what, which, size):
        job = self.jobs[which % 2]
        if what in ALONE:
            getattr(self, what)(job, size)
        elif what == "start" and not job.is_running:
            job.begin(None if size % 2 else size * 3)
            for each in CHAINS:
                job.connect(each)
        elif job.is_running and what != "start":
            getattr(self, what)(job, CHAINS[which // 2 % 2], size)

    def wait(self, _job, size):
        self.seconds(size)

    def sleep(self, _job, size):
        """The machine sleeps, or all processes are stopped for a while."""
        self.seconds(size * 5, reading=())

    def pause(self, job, size):
        """One process is stopped for a while."""
        self.seconds(size * 5, reading=(1 - self.jobs.index(job),))

    def hold(self, _job, size):
        """The virtual machine is held, and set right when it goes on."""
        before = self.machine.now
        self.seconds(size * 5, reading=())
        held = self.machine.now - before
        self.machine.held += held
        self.machine.lead += held

    def set(self, _job, size):
        """Somebody sets the wall clock.

        Whoever does so just after the machine was held takes away all that could
        tell of it: so the clocks are looked at before.
        """
        for job in self.jobs:
            if job.is_running:
                job.tick()
        self.machine.lead += SETTINGS[size % len(SETTINGS)]

    def connect(self, job, chain, size):
        job.connect(chain, is_refused=size % 4 == 0)

    def cut(self, job, chain, _size):
        """A connection is gone, and that is noticed with the next reading."""
        if job.lines[chain].is_open:
            job.lines[chain].cut(is_noticed=False)

    def die(self, job, chain, _size):
        """A connection is gone, and nothing tells."""
        if job.lines[chain].is_open:
            job.lines[chain].cut(is_noticed=True)

    def notice(self, job, chain, _size):
        line = job.lines[chain]
        if not line.is_open and line.link is not None:
            job.hang_up(line)

    def flush(self, job, _chain, _size):
        job.flush()

    def stop(self, job, _chain, _size):
        job.stop()

    def kill(self, job, _chain, _size):
        job.kill(self.monkeypatch)

    def end(self):
        for job in self.jobs:
            if job.is_running:
                job.stop()
        recover(self.root)

    # The judgement --------------------------------------------------------

    def judge(self):
        listing = open_listing(self.root)
        tables = {name: plain(listing.read(name)) for name in ("coverage", "gaps")}
        stored = listing.read("trades", columns=["market", "trade_id", "conn"])
        for job in self.jobs:
            mine = {
                row["trade_id"]
                for row in stored.to_pylist()
                if row["conn"].rpartition(".")[0] in job.runs
            }
            for chain in CHAINS:
                covered = spans_of(tables["coverage"], job.name, chain)
                gaps = spans_of(tables["gaps"], job.name, chain)
                self.check_tiling(job, chain, covered, gaps)
                self.check_claims(job, chain, covered, mine)

    def check_tiling(self, job, chain, covered, gaps):
        """Covered time and gaps of rows fill the time since the first run."""
        if not job.lives:
            assert covered == gaps == []
            return
        end = max(at for span in covered + gaps for at in span if at is not None)
        assert len([1 for _, last in gaps if last is None]) == 1
        whole = [(first, end if last is None else last) for first, last in gaps]
        told = sorted(span for span in covered + whole if span[0] < span[1])
        began = job.lives[0][0][1]
        assert not told or began <= told[0][0] <= began + 10
        for (_, last), (first, _) in pairwise(told):
            assert last == first, (job.name, chain, told)
        lives = [(life[0][1], life[-1][1]) for life in job.lives]
        for first, last in covered:
            assert any(a <= first and last <= b for a, b in lives)

    def check_claims(self, job, chain, covered, here):
        for real, whose, number in self.trades:
            if whose != chain or number in here:
                continue
            for reading in job.lives:
                if not reading[0][0] <= real <= reading[-1][0]:
                    continue
                place = bisect_right(reading, (real, 1 << 63))
                if place == len(reading):
                    continue
                before, after = reading[place - 1], reading[place]
                first, last = between(before, after, real)
                # What a process showed that was killed before its next flush, the
                # next may show again, if the clock was set back meanwhile.
                again = [
                    (life[0][1], life[-1][1])
                    for life in job.lives
                    if life is not reading and life[0][1] <= first <= life[-1][1]
                ]
                claimed = [
                    (start, end)
                    for start, end in covered
                    if start <= first and last < end
                    if not any(a <= start and end <= b for a, b in again)
                ]
                assert not claimed, (job.name, chain, number, first, last, claimed)


def between(before, after, real):
    """Return what our clock showed, or would have, at a time between two readings.

    Returns:
        First and last instant that it can have been: one, unless the clock was
        set or held meanwhile.
    """
    (since, first), (until, last) = before, after
    if abs((last - first) - (until - since)) > S // 1_000:
        return first, last
    at = first + (real - since)
    return at, at


def plain(rows):
    """Return rows as mappings, their times as integers."""
    for number, field in enumerate(rows.schema):
        if pa.types.is_timestamp(field.type):
            times = rows.column(number).cast(pa.int64())
            rows = rows.set_column(number, field.name, times)
    return rows.to_pylist()


def spans_of(rows, job, chain):
    """Return the intervals of a chain of a job; of gaps the newest of each."""
    found = {}
    for number, row in enumerate(rows):
        if row["job"] != job or row["market"] not in (None, chain.market):
            continue
        if row.get("scope", "rows") != "rows":
            continue
        key = row.get("gap_id", number)
        span = row["started_at"], row["ended_at"]
        if key not in found or span[1] is not None:
            found[key] = span
    return list(found.values())


SETTINGS = (
    -7_200 * S,
    -20 * S,
    -S // 3,
    -S // 200,
    S // 200,
    S // 3,
    20 * S,
    7_200 * S,
    3 * DAY_NS,
)

ALONE = {"wait", "sleep", "pause", "hold", "set"}
WHAT = [
    "wait", "wait", "wait", "sleep", "pause", "hold", "set", "set", "connect",
    "connect", "cut", "die", "notice", "flush", "flush", "stop", "kill", "start",
    "start",
]  # fmt: skip
EVENTS = st.lists(
    st.tuples(st.sampled_from(WHAT), st.integers(0, 3), st.integers(1, 14)),
    min_size=1,
    max_size=18,
)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    """Do not wait for the disk: nothing here cuts the power."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    monkeypatch.setattr(os, "fdatasync", lambda _handle: None)


def play(events, source, monkeypatch):
    with TemporaryDirectory(dir=os.environ.get("LEDGER_TRUTH_FOLDER")) as folder:
        world = World(Path(folder) / "store", source, monkeypatch)
        world.do("start", 0, 1)
        for event in events:
            world.do(*event)
        world.end()
        world.judge()
        return world


@settings(
    max_examples=int(os.environ.get("LEDGER_TRUTH_EXAMPLES", "25")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    print_blob=True,
)
@example(
    [("wait", 0, 1), ("set", 0, 1), ("kill", 0, 1), ("start", 0, 1), ("wait", 0, 2)]
)
@example(
    [("sleep", 0, 1), ("set", 0, 8), ("sleep", 0, 1), ("set", 0, 1), ("set", 0, 1)]
)
@example([("hold", 0, 9), ("wait", 0, 1)])
@example(
    [("wait", 0, 21), ("set", 0, 1), ("kill", 0, 1), ("start", 0, 1), ("wait", 0, 1)]
)
@given(EVENTS)
def test_no_trade_is_missing_where_coverage_is_claimed(fake, monkeypatch, events):
    play(events, fake, monkeypatch)
