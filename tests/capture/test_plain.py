"""Frames taken many at a time become what they become one by one."""

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from recorder.capture.doubles import Doubles
from recorder.capture.plain import RUN_MAX
from recorder.capture.session import Session
from recorder.judging.evidence import plain
from recorder.model import Chain
from recorder.sources import load
from recorder.store.ledger import Ledger
from recorder.store.plain_code import RECENT
from recorder.store.writer import build_all


NOW = 1_790_000_000_000_000_000
MS = NOW // 1_000_000
MARKETS = ("BTC_USDT", "ETH_USDT", "X_USDT")
BASE = 100
"""Id of the first snapshot of each book."""

ROW_TABLES = ("depth", "trades", "frames")


class CountingClock:
    """Shows a nanosecond more each time, from the last frame on."""

    def __init__(self):
        self.shown = NOW

    def now_ns(self):
        self.shown += 1
        return self.shown

    def counted_ns(self):
        return self.shown

    def take_steps(self):
        return []


class Recording:
    """A session of Gate spot whose books are known."""

    def __init__(self, source="gate_spot", stream="depth:100ms"):
        self.source = load(source)
        self.options = {"settle": "usdt"} if source == "gate_futures" else {}
        self.depth = [Chain(market, stream) for market in MARKETS]
        chains = [*self.depth, *(Chain(market, "trades") for market in MARKETS)]
        self.clock = CountingClock()
        self.session = Session(
            self.source,
            self.options,
            chains,
            run="run",
            clock=self.clock,
            ledger=Ledger("job", "run", chains),
            doubles=Doubles(),
        )
        self.stamp = NOW + 10_000_000_000
        self.link = self.session.opened("run.0", "ws://x/", chains, NOW)
        while self.link.outbox:
            request = self.link.outbox.popleft()
            self.session.sent(self.link, request, NOW)
            asked = msgspec.json.decode(request.payload)
            answer = asked | {"event": "subscribe", "result": {"status": "success"}}
            answer.pop("payload")
            self.take([msgspec.json.encode(answer)], 1)
        for number, market in enumerate(MARKETS):
            first = frame(number, BASE + 1, BASE + 1, channel=self.channel)
            self.take([first], 1)
            self.adopt(market)
        assert set(self.session.books.states().values()) == {"live"}

    @property
    def channel(self):
        return f"{self.source.name[5:]}.order_book_update"

    def adopt(self, market):
        """Answer the question for a snapshot."""
        books, session = self.session.books, self.session
        chain, epoch = books.next_due(NOW * 2)
        assert chain.market == market
        request = self.source.snapshot.request(chain, self.options)
        moment = MS if self.source.name == "gate_spot" else MS / 1000
        body = {"id": BASE, "current": moment, "update": moment, "asks": [], "bids": []}
        stamp, self.stamp = self.stamp, self.stamp + 1
        session.snapshots.take(chain, epoch, request, stamp, msgspec.json.encode(body))

    def take(self, frames, size, opcode="text"):
        """Take frames in runs of a size; of one: in the usual way."""
        for start in range(0, len(frames), size):
            run = frames[start : start + size]
            stamps = range(self.stamp, self.stamp + len(run))
            self.stamp = stamps.stop
            if size == 1:
                self.session.frame(self.link, stamps[0], run[0], opcode=opcode)
            else:
                self.session.frames(self.link, stamps, run, opcode=opcode)

    def stored(self):
        """Return what a flush would write: rows by table, times as they are."""
        flush = self.session.take(self.clock.now_ns())
        found = {name: [] for name in (*ROW_TABLES, "gaps")}
        for (table, _), built in build_all(flush.rows, flush.blocks).items():
            rows = plain(pa.Table.from_batches([built.batch]))
            if table in ROW_TABLES:
                found[table] += rows
            elif table == "gaps":  # when the ledger wrote them is not compared
                found[table] += [
                    {k: v for k, v in row.items() if k not in ("ts_recv", "seq")}
                    for row in rows
                ]
        return {name: sorted(rows, key=repr) for name, rows in found.items()}

    def known(self):
        """Return all that is known of the books."""
        heard = self.session._silence.heard
        return {
            book.chain: (
                book.continuity._fields,
                list(book.recent),
                book.last_at,
                book.began,
                len(book.suspects),
                heard.get(book.chain),
            )
            for book in self.session.books.all()
        }


def frame(number, first, last, *, channel="spot.order_book_update", **changes):
    """A push of changes; what is given as None is left out."""
    result = {
        "t": MS, "e": "depthUpdate", "E": MS // 1000, "s": MARKETS[number],
        "U": first, "u": last, "b": [["10.5", "1"]], "a": [["11", "0"], ["12", "3"]],
    } | changes  # fmt: skip
    result = {key: value for key, value in result.items() if value is not None}
    push = {"time": MS // 1000, "time_ms": MS, "channel": channel, "event": "update"}
    return msgspec.json.encode(push | {"result": result})


def trade(number, trade_id):
    result = {
        "id": trade_id, "id_market": trade_id, "create_time": MS // 1000,
        "create_time_ms": f"{MS}.5", "side": "buy", "currency_pair": MARKETS[number],
        "amount": "1", "price": "2", "range": f"{trade_id}-{trade_id}",
    }  # fmt: skip
    push = {"time": MS // 1000, "channel": "spot.trades", "event": "update"}
    return msgspec.json.encode(push | {"result": result})


LONG = [["1234567890.123456789", "1"]]
WINDOW = [[str(price), "1"] for price in range(12)]
ODD = {
    "long number": {"b": LONG},
    "exponent": {"a": [["1e3", "1"]]},
    "negative": {"a": [["-1", "1"]]},
    "no number": {"b": [["x", "1"]]},
    "bare numbers": {"b": [[1.5, 2]]},
    "objects": {"b": [{"p": "1", "s": "2"}, {"s": 3, "p": "2"}]},
    "three parts": {"b": [["1", "2", "3"]]},
    "no levels": {"b": [], "a": []},
    "no bids": {"b": None},
    "whole": {"full": True},
    "window": {"b": WINDOW, "a": WINDOW},
    "window that removes": {"b": [*WINDOW, ["99", "0.00"]], "a": WINDOW},
    "level": {"l": "100"},
    "new key": {"zz": 1},
    "long key": {"a_key_of_many_letters": 1},
    "no time": {"t": 0},
    "fine time": {"t": MS * 1000},
    "time as text": {"t": str(MS)},
    "other market": {"s": "NOBODY_USDT"},
    "odd market": {"s": "ä\n"},
    "id as text": {"U": "7"},
    "huge id": {"u": 2**63 - 1},
    "huger id": {"u": 2**64},
    "no first": {"U": None},
    "no last": {"u": None},
    "nothing": {"b": None, "a": None},
}

TURNS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1, -3, 5]),
        st.sampled_from([0, 0, 1, 2, 7]),
        st.sampled_from(
            [None] * 20
            + list(ODD)
            + [
                "trade",
                "garbage",
                "zero",
                "blank",
                "twice",
                "cut",
                "double key",
                "pong",
            ]
        ),
    ),
    max_size=60,
)


def frames_of(turns, channel):
    """Make frames: each goes on from the last of its market, or nearly."""
    next_id = [BASE + 2] * len(MARKETS)
    made = []
    for number, off, width, what in turns:
        first = max(1, next_id[number] + off)
        last = first + width
        changes = ODD.get(what, {})
        text = frame(number, first, last, channel=channel, **changes)
        next_id[number] = last + 1
        if what == "trade":
            text = trade(number, first)
        elif what == "garbage":
            text = b"\xff\xfe{"
        elif what == "zero":
            text = text.replace(b"USDT", b"US\0T")
        elif what == "blank":
            text = text.replace(b'"u":', b'"u": ')
        elif what == "cut":
            text = text[:-7]
        elif what == "double key":
            text = text.replace(b'"U":', b'"U":1,"U":')
        elif what == "pong":
            text = b'{"time":1,"channel":"spot.pong","event":"","result":null}'
        made += [text, text] if what == "twice" else [text]
    return made


def assert_alike(turns, size, source="gate_spot"):
    one, many = Recording(source), Recording(source)
    frames = frames_of(turns, one.channel)
    one.take(frames, 1)
    many.take(frames, size)

    assert many.known() == one.known()
    assert many.stored() == one.stored()
    assert many.link.seq == one.link.seq
    assert many.link.bytes_total == one.link.bytes_total
    assert many.link.last_at == one.link.last_at
    assert many.session.books.states() == one.session.books.states()


@settings(max_examples=150, deadline=None)
@given(TURNS, st.sampled_from([3, 7, 60]))
def test_what_becomes_of_frames_does_not_hang_on_how_many_come_at_once(turns, size):
    assert_alike(turns, size)


@pytest.mark.parametrize("what", list(ODD))
@pytest.mark.parametrize("width", [0, 1])
def test_a_frame_that_is_not_plain_is_taken_in_the_usual_way(what, width):
    plain = [(number, 0, 1, None) for number in (0, 1, 2)] * 2
    assert_alike([*plain, (0, 0, width, what), *plain], 20)


@settings(max_examples=30, deadline=None)
@given(TURNS)
def test_futures_are_read_in_the_same_way(turns):
    assert_alike(turns, 30, "gate_futures")


def test_plain_frames_make_no_rows_one_by_one():
    recording = Recording()
    frames = frames_of([(n % 3, 0, 1, None) for n in range(300)], recording.channel)
    recording.take(frames[:30], 30)
    recording.take(frames[30:], 90)

    flush = recording.session.take(NOW * 2)
    # Those of the first run were not followed yet.
    assert sum(block.count for block in flush.blocks) == 270
    (batch,) = (block.batch() for block in flush.blocks)
    assert batch.num_rows == sum(block.count for block in flush.blocks)
    for book in recording.session.books.all():
        assert book.follower is not None
        assert book.is_live
        assert len(book.recent) == RECENT
        assert book.follower is None  # for somebody looked at it


def test_rows_of_plain_frames_wait_and_are_weighed_until_they_are_taken():
    recording = Recording()
    session, rows = recording.session, recording.session._rows
    frames = frames_of([(n % 3, 0, 1, None) for n in range(300)], recording.channel)
    recording.take(frames[:30], 30)
    session.take(NOW * 2)
    written = rows.bytes_held
    recording.take(frames[30:], 90)

    waiting, weight = rows.waiting, rows.bytes_waiting
    flush = session.take(NOW * 2)

    assert waiting == 270
    assert 0.5 < weight / sum(block.batch().nbytes for block in flush.blocks) < 2
    assert rows.bytes_waiting == 0
    assert rows.bytes_held == written + weight


def test_more_than_a_block_holds_goes_into_the_next(monkeypatch):
    monkeypatch.setattr("recorder.store.depth_block.ROWS_MAX", 64)
    monkeypatch.setattr("recorder.store.depth_block.LEVELS_MAX", 64 * 24)
    one, many = Recording(), Recording()
    frames = frames_of([(n % 3, 0, 1, None) for n in range(500)], one.channel)
    one.take(frames, 1)
    many.take(frames, 40)

    flush = many.session._rows._blocks
    assert len(flush) > 5
    assert many.stored() == one.stored()


@pytest.mark.parametrize(
    "frames",
    [
        lambda channel: [frame(0, BASE + 2, BASE + 3, channel=channel)] * 2,
        lambda channel: [b"x"] * (RUN_MAX + 1),
        lambda channel: [b"x" * 600_000] * 3,
    ],
    ids=["few", "many", "long"],
)
def test_a_run_that_is_too_short_or_too_long_is_taken_in_the_usual_way(frames):
    one, many = Recording(), Recording()
    made = frames(one.channel)
    one.take(made, 1)
    many.take(made, len(made))

    assert many.stored() == one.stored()


def test_frames_that_come_together_after_a_stop_are_counted_and_left_alone():
    recording = Recording()
    session = recording.session
    frames = frames_of([(n % 3, 0, 1, None) for n in range(30)], recording.channel)
    session.stop(recording.stamp)
    session.shedding.is_behind = True
    before = session.frames_total

    recording.take(frames, 30)

    assert session.frames_total == before + 30
    assert session.shedding.since is None  # nobody would end it


@pytest.mark.parametrize("opcode", ["text", "binary"])
@pytest.mark.parametrize("size", [1, 9])
def test_a_frame_that_is_kept_for_a_number_is_kept_as_it_came(opcode, size):
    recording = Recording()
    pushes = [frame(0, BASE + n, BASE + n) for n in range(2, 10)]
    pushes.append(frame(0, BASE + 10, BASE + 10, b=[["1.12345678901234567891", "1"]]))

    recording.take(pushes, size, opcode)

    stored = recording.stored()
    assert len(stored["depth"]) == 3 + 9 + 3
    (kept,) = stored["frames"]
    assert (kept["reason"], kept["payload"]) == ("inexact", pushes[-1])
    assert kept["opcode"] == opcode
