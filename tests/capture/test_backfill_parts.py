"""What heals gaps while a run records, part by part, without a venue."""

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace

import msgspec
import pytest

from recorder.capture import backfill, backfill_asking, backfill_stored
from recorder.capture.backfill import Backfiller, Backlog
from recorder.capture.backfill_asking import TRIES, Asker, RefusedToTellError
from recorder.capture.backfill_gaps import Target, judged, target_of
from recorder.capture.backfill_healing import Outcome, Pace
from recorder.capture.backfill_stored import Stored
from recorder.capture.doubles import REMEMBERED_BACKFILL, Doubles
from recorder.capture.plan import plan_capture
from recorder.capture.shared import Shared
from recorder.clock import SystemClock
from recorder.config import CaptureConfig
from recorder.errors import HttpStatusError, ThrottledError, TransportError, WireError
from recorder.model import Chain, Gap, Trade
from recorder.source import (
    NO_SECRETS,
    History,
    HttpRequest,
    Question,
    Secrets,
    Wanted,
)
from recorder.sources import load
from recorder.store.batch import build
from recorder.store.journal import Journal
from recorder.store.layout import Partition, Stem, backfill_lock_path, date_of
from recorder.store.listing import open_listing
from recorder.store.locks import try_lock
from recorder.store.revisions import newest_revisions
from recorder.store.tables import TABLES


S = 10**9
TRADES = Chain("BTC_USDT", "trades")
DEPTH = Chain("BTC_USDT", "depth:100ms")
PACE = Pace(first_seconds=7.0, retry_seconds=(10.0, 60.0))


def gap(gap_id="g", **facts):
    return Gap(
        **{
            "gap_id": gap_id,
            "market": "BTC_USDT",
            "stream": "trades",
            "job": "job",
            "scope": "rows",
            "reason": "connect_lost",
            "started_at": 100 * S,
            "ended_at": 110 * S,
            **facts,
        }
    )


@pytest.fixture
def plan(tmp_path):
    return plan_capture(
        CaptureConfig(
            source="gate_spot",
            markets=("BTC_USDT",),
            streams=("trades", "depth"),
            store=tmp_path / "store",
        )
    )


def outcome(chain=TRADES, state="healed", rows=1, text="done"):
    return Outcome(chain=chain, state=state, rows=rows, text=text)


# The backlog -------------------------------------------------------------


def test_a_gap_is_due_a_while_after_its_end(plan):
    backlog = Backlog(plan, PACE)
    backlog.see(gap())

    assert backlog.due(117 * S - 1) == []
    assert [entry.gap.gap_id for entry in backlog.due(117 * S)] == ["g"]


@pytest.mark.parametrize(
    "facts",
    [
        {"ended_at": None},
        {"scope": "book"},
        {"stream": "depth:100ms"},
        {"market": "ETH_USDT"},
        {"reason": "subscription_rejected"},
        {"reason": "pruned"},
    ],
)
def test_what_cannot_be_healed_is_not_remembered(plan, facts):
    backlog = Backlog(plan, PACE)
    backlog.see(gap(**facts))

    assert len(backlog) == 0


def test_what_was_healed_otherwise_is_forgotten(plan):
    backlog = Backlog(plan, PACE)
    backlog.see(gap())
    backlog.see(gap(healed_by="sequence"))

    assert len(backlog) == 0


def test_what_may_be_told_later_is_tried_again_and_then_left(plan):
    backlog = Backlog(plan, PACE)
    backlog.see(gap())
    [entry] = backlog.due(200 * S)
    later = judged(backlog.target(entry.gap), [outcome(state="later")])

    for now, pause in ((200 * S, 10), (300 * S, 60)):
        assert backlog.settle(entry, later, now)
        assert backlog.due(now + pause * S - 1) == []
        assert backlog.due(now + pause * S) == [entry]
    assert not backlog.settle(entry, later, 400 * S)
    assert len(backlog) == 0


def test_the_backlog_is_bounded(plan, monkeypatch):
    monkeypatch.setattr(backfill, "BACKLOG_MAX", 3)
    backlog = Backlog(plan, PACE)
    for number in range(9):
        backlog.see(gap(f"g{number}"))

    assert len(backlog) == 3


def test_only_a_few_are_healed_in_a_round(plan, monkeypatch):
    monkeypatch.setattr(backfill, "ROUND", 2)
    backlog = Backlog(plan, PACE)
    for number in range(5):
        backlog.see(gap(f"g{number}", ended_at=(120 - number) * S))

    assert [e.gap.gap_id for e in backlog.due(500 * S)] == ["g4", "g3"]


# What becomes of a gap ---------------------------------------------------


def test_a_gap_of_everything_stands_for_all_that_its_job_records(plan):
    target = target_of(plan.source, gap(market=None, stream=None), plan.chains)

    assert (target.chains, target.others) == ((TRADES,), 1)


@pytest.mark.parametrize(
    ("states", "others", "state"),
    [
        (["healed"], 0, "healed"),
        (["healed", "healed"], 0, "healed"),
        (["healed"], 1, "partial"),
        (["healed", "partial"], 0, "partial"),
        (["partial", "later"], 0, "later"),
        (["none"], 0, "none"),
        (["none", "healed"], 0, "healed"),
        ([], 2, "none"),
    ],
)
def test_a_gap_is_healed_only_if_all_of_it_is(states, others, state):
    chains = tuple(Chain(f"{n}", "trades") for n in range(len(states)))
    outcomes = [outcome(c, s) for c, s in zip(chains, states, strict=True)]

    assert judged(Target(gap(), chains, others), outcomes).state == state


def test_a_detail_keeps_what_was_said_before_and_only_the_last_of_ours():
    target = Target(gap(detail="closed: 1006"), (TRADES,), 0)
    first = judged(target, [outcome(state="partial", text="5 of 9")]).revision
    again = judged(target._replace(gap=first), [outcome(text="4 trades")])

    assert first.detail == "closed: 1006; backfill: 5 of 9"
    assert first.healed_by is None
    assert again.revision.detail == "closed: 1006; backfill: 4 trades"
    assert again.revision.healed_by == "backfill"
    nothing = judged(
        target._replace(gap=first), [outcome(state="partial", rows=0, text="x")]
    )
    assert not nothing.is_news
    fresh = target._replace(gap=gap())
    trouble = msgspec.structs.replace(outcome(state="later", rows=0), is_trouble=True)
    assert judged(fresh, [outcome(state="later", rows=0)]).is_news
    assert not judged(fresh, [trouble]).is_news


# Doubles -----------------------------------------------------------------


def trade(trade_id):
    return Trade(
        market="A_B", ts_event=1, trade_id=trade_id, side="buy", price="1", amount="1"
    )


def test_a_late_push_of_what_was_fetched_is_not_stored():
    doubles = Doubles()
    doubles.backfilled(trade(5))

    assert doubles.knows_trade(trade(5))
    assert not doubles.is_new_trade(trade(5))
    assert doubles.is_new_trade(trade(6))
    for number in range(100, 100 + REMEMBERED_BACKFILL):
        doubles.backfilled(trade(number))
    assert doubles.is_new_trade(trade(5))  # it would rather be stored twice


def test_only_pushes_of_watched_markets_are_noted():
    doubles = Doubles()
    doubles.is_new_trade(trade(1))
    doubles.watch({"A_B"})
    doubles.is_new_trade(trade(2))
    doubles.is_new_trade(trade(1))

    assert [n in doubles.watched("A_B") for n in (1, 2)] == [False, True]
    assert 2 not in doubles.watched("C_D")
    doubles.watch(())
    assert 2 not in doubles.watched("A_B")


def test_of_many_gaps_only_those_are_made_that_are_asked_for(tmp_path, monkeypatch):
    told = [gap(f"g{number}", ended_at=None) for number in range(9)]
    told += [gap(f"g{number}") for number in range(5)]
    told += [gap("g1", healed_by="late"), gap("g2", scope="book")]
    rows = [(S, "run.ledger", seq, 0, one, None) for seq, one in enumerate(told)]
    partition = Partition("gaps", "gate_spot", date_of(S))
    journal = Journal(tmp_path, partition, Stem(S, "20231114T221320-abcdef", 0))
    journal.append(build(TABLES["gaps"], rows).batch)
    journal.close()
    made = []

    def newest(rows):
        made.extend(rows)
        return newest_revisions(rows)

    monkeypatch.setattr(backfill_stored, "newest_revisions", newest)
    stored = Stored(open_listing(tmp_path), "gate_spot")

    found = stored.gaps("job", ["g0", "g1", "g2", "g6", "none"])

    assert [(one.gap_id, one.ended_at) for one in found] == [
        ("g0", 110 * S),
        ("g6", None),
    ]
    assert {row["gap_id"] for row in made} == {"g0", "g1", "g2", "g6"}
    assert len(stored.gaps("job")) == 7
    assert stored.gaps("another", ["g0"]) == []


class Healing:
    """Heals one gap for as long as a test wants, in place of who asks a venue."""

    def __init__(self, *_) -> None:
        self.began = asyncio.Event()

    async def begin(self):
        return SimpleNamespace(gaps=lambda _job, _ids: [gap()])

    async def heal_gap(self, *_):
        self.began.set()
        await asyncio.Event().wait()


async def test_nobody_else_heals_before_what_was_put_is_durable(plan, monkeypatch):
    path = backfill_lock_path(plan.config.store, "gate_spot")
    path.parent.mkdir(parents=True)
    healing = Healing()
    monkeypatch.setattr(backfill, "Healer", lambda *_: healing)
    monkeypatch.setattr(backfill, "heal_gap", healing.heal_gap)
    monkeypatch.setattr(
        backfill._LiveKeeper, "left_by_earlier_runs", lambda _self: [gap()]
    )
    rows = SimpleNamespace(
        **dict.fromkeys(("frame", "put", "revise", "pushed", "useless")),
        on_gap=lambda _see: None,
        watch=lambda _markets: None,
    )
    session = SimpleNamespace(past=rows)
    clock = SystemClock()
    healer = Backfiller(plan, session, clock, Shared(), PACE)
    task = asyncio.create_task(
        healer.run(
            SimpleNamespace(get=None),
            through_ns=lambda: 1 << 62,
            is_ready=lambda: True,
        )
    )
    await healing.began.wait()
    task.cancel()  # as a stop does, in the midst of it
    with suppress(asyncio.CancelledError):
        await task

    assert try_lock(path) is None
    healer.release()
    lock = try_lock(path)
    assert lock is not None
    lock.release()


# Asking ------------------------------------------------------------------


class FakeVenue:
    """Answers by HTTP with what it was given: bodies, or errors to raise."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.useless = []
        self.is_busy = False
        self.opened = 0

    async def get(self, request):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @asynccontextmanager
    async def ask(self):
        self.opened += 1
        yield self

    def asker(self, secrets=NO_SECRETS):
        return Asker(
            {},
            secrets,
            get=self.get,
            ask=self.ask,
            per_second=10_000.0,
            clock=SystemClock(),
            is_busy=lambda: self.is_busy,
            on_nonsense=lambda *said: self.useless.append(said),
        )


def _decode(_chain, body):
    if not body.startswith(b"["):
        raise WireError("no list")
    return ()


HISTORY = History(
    table="trades",
    page_rows=10,
    ask=lambda chain, _options, _wanted: HttpRequest(path=f"/{chain.market}"),
    decode=_decode,
)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(backfill_asking, "FIRST_PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize(
    "trouble",
    [
        TransportError("gone"),
        ThrottledError(1.0),
        HttpStatusError(502, "bad gateway"),
        b"<html>",
    ],
)
async def test_trouble_is_asked_through_but_not_for_ever(trouble):
    venue = FakeVenue(*[trouble] * (TRIES - 1), b"[]")
    page = await venue.asker().page(HISTORY, TRADES, Wanted(limit=10))
    assert (page.body, page.opcode, page.request) == (b"[]", "http", "/BTC_USDT")

    venue = FakeVenue(*[trouble] * TRIES, b"[]")
    with pytest.raises((TransportError, RefusedToTellError)):
        await venue.asker().page(HISTORY, TRADES, Wanted(limit=10))
    assert venue.answers == [b"[]"]
    assert len(venue.useless) == (TRIES if trouble == b"<html>" else 0)


async def test_a_refusal_is_believed_at_once_and_shows_no_key():
    venue = FakeVenue(HttpStatusError(400, "no market for key-of-mine-1234"), b"[]")
    asker = venue.asker(Secrets({"key": "key-of-mine-1234"}))

    with pytest.raises(
        RefusedToTellError, match=r"refuses to tell: no market for \*\*\*"
    ):
        await asker.page(HISTORY, TRADES, Wanted(limit=10))
    assert venue.answers == [b"[]"]


async def test_books_are_asked_for_first():
    venue = FakeVenue(b"[]")
    venue.is_busy = True
    asking = asyncio.create_task(venue.asker().page(HISTORY, TRADES, Wanted(limit=10)))
    await asyncio.sleep(0.15)
    assert venue.answers == [b"[]"]
    venue.is_busy = False
    assert (await asking).body == b"[]"


async def test_a_connection_that_failed_a_question_is_opened_anew():
    query = load("gate_v3").queries[1]
    question = Question(query=query, market="BTC_USDT", values={})
    history = msgspec.structs.replace(HISTORY, ask=lambda *_: question)

    class Asked(FakeVenue):
        async def ask_once(self, *_):
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    venue = Asked(TransportError("gone"), TransportError("gone"))

    @asynccontextmanager
    async def connection():
        venue.opened += 1
        yield type("Open", (), {"ask": venue.ask_once})()

    venue.ask = connection
    with pytest.raises(IndexError):  # it was asked a third time
        await venue.asker().page(history, TRADES, Wanted(limit=10))
    assert venue.opened == 3
