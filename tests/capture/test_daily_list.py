"""The list of markets is stored once a day, and never stops a recording."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from recorder.capture.daily_list import DailyList
from recorder.capture.http_markets import HttpMarkets
from recorder.capture.plan import plan_capture
from recorder.capture.rows import Rows
from recorder.capture.shared import Shared
from recorder.config import CaptureConfig
from recorder.errors import TransportError, WireError
from recorder.model import Market
from recorder.source import HttpRequest, MarketList
from recorder.store.layout import DAY_NS
from recorder.store.run import open_run
from recorder.store.writer import Flush, Writer
from recorder.telemetry import MarketListFailed, MarketListStored, MarketsAppeared


HOUR_NS = 3_600 * 10**9
NOON = 19_700 * DAY_NS + 12 * HOUR_NS
SOURCE = "gate_spot"


class OverError(Exception):
    """The time of a test has passed."""


class Days:
    """A clock that moves only while somebody sleeps, until a test is over."""

    def __init__(self, now, days):
        self.now = now
        self.end = now + int(days * DAY_NS)
        self.waits = []

    def now_ns(self):
        self.now += 1
        return self.now

    async def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += int(seconds * 1e9)
        if self.now > self.end:
            raise OverError
        await asyncio.sleep(0)


def decode(body):
    try:
        names = msgspec.json.decode(body, type=list[str])
    except msgspec.DecodeError as error:
        raise WireError(f"no list: {error}") from error
    return tuple(
        Market(market=name, kind="spot", payload=f'"{name}"', tick_size="0.01")
        for name in names
    )


LISTING = MarketList(
    request=lambda options: HttpRequest(path="/list", query=(("of", "all"),)),
    decode=decode,
    is_traded=lambda market: not market.market.startswith("OLD"),
)


class Keeper:
    """Keeps the list of one run of a store, from a venue of the tests."""

    def __init__(self, root, answers, *, markets, days, now=NOON, shared=None, **more):
        self.clock = Days(now, days)
        self.answers = answers
        self.asked_at = []
        self.rows = Rows(SOURCE, "run", self.clock)
        plan = plan_capture(
            CaptureConfig(
                source=SOURCE, markets=markets, streams=("trades",), store=root
            )
        )
        self.daily = DailyList(
            plan,
            SimpleNamespace(get=self.get),
            HttpMarkets(self.rows, **{"is_archiving": False, **more}),
            self.clock,
            shared or Shared(),
            sleep=self.clock.sleep,
            draw=lambda: 0.5,
        )

    async def get(self, request):
        self.asked_at.append(self.clock.now)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def run(self):
        with pytest.raises(OverError):
            await self.daily.run(LISTING)

    def taken(self):
        return {table: part for (table, _), part in self.rows.take().rows.items()}


def store_rows(root, keeper, at):
    """Write what a keeper collected, as a run would."""
    run = open_run(root, job="job", source=SOURCE, now_ns=at)
    writer = Writer(run)
    writer.start()
    writer.submit(Flush(rows=keeper.rows.take().rows, through_ns=at))
    writer.close()
    run.release()


@pytest.fixture
def root(tmp_path):
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


async def test_each_day_has_one_list_soon_after_it_began(root):
    keeper = Keeper(root, [b'["A","B"]'], markets=("A",), days=2.5)

    await keeper.run()

    first, *later = keeper.asked_at
    assert first - NOON < 10**9
    assert [(at // DAY_NS, at % DAY_NS // 10**9) for at in later] == [
        (19_701, 30),
        (19_702, 30),
    ]
    rows = keeper.taken()["markets"]
    assert [(conn, seq, idx, m.market) for _, conn, seq, idx, m, _ in rows] == [
        ("run.rest", day, idx, market)
        for day in range(3)
        for idx, market in enumerate(("A", "B"))
    ]
    assert {row[0] // DAY_NS for row in rows} == {19_700, 19_701, 19_702}


async def test_a_day_that_the_store_has_a_list_of_is_not_asked_for_again(root):
    before = Keeper(root, [b'["A","B"]'], markets=("A",), days=0.1)
    await before.run()
    store_rows(root, before, NOON)

    same = Keeper(root, [b'["A","B"]'], markets=("A",), days=0.1)
    other = Keeper(root, [b'["X"]'], markets=("X",), days=0.1)
    next_day = Keeper(root, [b'["A"]'], markets=("A",), days=0.1, now=NOON + DAY_NS)
    for keeper in (same, other, next_day):
        await keeper.run()

    assert same.asked_at == []
    # Another list of the same feed: none of its markets is among those stored.
    assert len(other.asked_at) == len(next_day.asked_at) == 1


async def test_of_captures_of_one_process_one_stores_the_list(root):
    shared = Shared()
    both = [
        Keeper(root, [b'["A","B"]'], markets=(name,), days=1.0, shared=shared)
        for name in ("A", "B")
    ]

    await asyncio.gather(*(keeper.run() for keeper in both))

    assert sorted(len(keeper.asked_at) for keeper in both) != [2, 2]
    assert sum(len(keeper.asked_at) for keeper in both) == 2


async def test_a_list_that_cannot_be_had_is_asked_for_again_all_day(root, caplog):
    caplog.set_level("INFO", logger="recorder")
    down = TransportError("it is down")
    keeper = Keeper(root, [down] * 9 + [b'["A"]'], markets=("A",), days=0.2)

    await keeper.run()

    assert len(keeper.asked_at) == 10
    pauses = [s.retry_in_seconds for s in told(caplog, MarketListFailed)]
    assert pauses == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert {s.why for s in told(caplog, MarketListFailed)} == {"it is down"}
    assert told(caplog, MarketListStored) == [
        MarketListStored(source=SOURCE, markets=1)
    ]
    assert [row[4].market for row in keeper.taken()["markets"]] == ["A"]


async def test_a_store_that_has_gone_is_asked_again_and_ends_nothing(root, caplog):
    keeper = Keeper(root, [b'["A"]'], markets=("A",), days=0.1)
    root.rmdir()

    await keeper.run()

    assert keeper.asked_at == []
    assert caplog.messages.count(MarketListFailed.message) > 2


async def test_a_day_that_passed_without_a_list_is_not_asked_for_any_more(root):
    answers = [TransportError("it is down")] * 100 + [b'["A"]']
    keeper = Keeper(root, answers, markets=("A",), days=1.2)

    await keeper.run()

    days = {row[0] // DAY_NS for row in keeper.taken()["markets"]}
    assert days == {19_701}


@pytest.mark.parametrize("nonsense", [b"<html>", b"[]"])
async def test_what_is_no_list_is_kept_once(root, caplog, nonsense):
    answers = [nonsense, nonsense, b'["A"]']
    keeper = Keeper(root, answers, markets=("A",), days=0.1)

    await keeper.run()

    taken = keeper.taken()
    (frame,) = taken["frames"]
    assert (frame[1], frame[2]) == ("run.rest", 0)
    kept = frame[4]
    assert (kept.reason, kept.payload, kept.request, kept.opcode) == (
        "undecodable",
        nonsense,
        "/list?of=all",
        "http",
    )
    assert len(told(caplog, MarketListFailed)) == 2
    assert [row[:3] for row in taken["markets"]] == [
        (taken["markets"][0][0], "run.rest", 1)
    ]


async def test_an_archive_has_the_list_verbatim(root):
    keeper = Keeper(root, [b'["A"]'], markets=("A",), days=0.1, is_archiving=True)

    await keeper.run()

    taken = keeper.taken()
    (frame,) = taken["frames"]
    assert (frame[4].reason, frame[4].payload) == ("archive", b'["A"]')
    assert frame[1:3] == taken["markets"][0][1:3]


async def test_new_markets_that_patterns_are_like_are_told_of(root, caplog):
    caplog.set_level("INFO", logger="recorder")
    answers = [b'["AX","B"]', b'["AX","AY","OLD_A","B"]']
    keeper = Keeper(root, answers, markets=("A*", "OLD*"), days=1.0)
    keeper.daily._markets = {"AX"}

    await keeper.run()

    assert told(caplog, MarketsAppeared) == [
        MarketsAppeared(source=SOURCE, markets=1, such_as="AY")
    ]


def told(caplog, kind):
    signals = [getattr(record, "signal", None) for record in caplog.records]
    return [signal for signal in signals if isinstance(signal, kind)]
