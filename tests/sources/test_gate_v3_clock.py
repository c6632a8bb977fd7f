"""How far the venue's clock is from ours, told by answers in whole seconds."""

import json  # noqa: TID251 - tests judge the decoders, so they use another
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from recorder.model import Chain
from recorder.source import Heartbeat, Request, Secrets, Send, Unrecognized
from recorder.sources._gate_v3_clock import (
    PRECISE_NS,
    ROUND_ASKS,
    ROUND_NS,
    Bounds,
)
from recorder.sources.gate_v3 import SOURCE


SECOND_NS = 10**9
MS = 10**6
T0 = 1_700_000_000 * SECOND_NS
KEYS = Secrets({"key": "a-key-of-ours", "secret": "its-secret"})


@given(
    st.integers(-5 * SECOND_NS, 5 * SECOND_NS),
    st.lists(
        st.tuples(
            st.integers(0, 30 * SECOND_NS),
            st.integers(0, 300 * MS),
            st.integers(0, 300 * MS),
        ),
        min_size=1,
    ),
)
def test_the_offset_lies_within_the_bounds_whatever_the_delays(
    offset: int, asks: list[tuple[int, int, int]]
) -> None:
    bounds, now_ns = Bounds(), T0
    for pause, way, way_back in asks:
        now_ns += pause
        at_venue = now_ns + way + offset
        is_so = bounds.narrow(now_ns, now_ns + way + way_back, at_venue // SECOND_NS)
        now_ns += way + way_back

        assert is_so
        assert bounds.low is not None
        assert bounds.low <= offset <= bounds.high


@given(st.integers(-(10**8), 10**8), st.integers(0, 59))
def test_clocks_that_part_slowly_do_not_contradict_each_other(
    parts_per_billion: int, seed: int
) -> None:
    drift = parts_per_billion // 1_000  # up to 100 ppm
    chance, bounds, now_ns = random.Random(seed), Bounds(), T0
    for _ in range(60):
        now_ns += chance.randrange(20 * SECOND_NS)
        offset = (now_ns - T0) * drift // 10**9
        assert bounds.narrow(
            now_ns, now_ns + 2 * MS, (now_ns + MS + offset) // SECOND_NS
        )
        now_ns += 2 * MS


def test_an_answer_that_contradicts_those_before_begins_anew() -> None:
    bounds = Bounds()
    bounds.narrow(T0, T0 + MS, T0 // SECOND_NS)

    is_so = bounds.narrow(T0 + SECOND_NS, T0 + SECOND_NS + MS, T0 // SECOND_NS + 61)

    assert not is_so
    assert bounds.low == 60 * SECOND_NS - MS
    assert bounds.high == 61 * SECOND_NS


class Line:
    """A venue whose clock is off, over a line that takes its time."""

    def __init__(self, chain: Chain, offset: int, *, way_ns: int = 20 * MS) -> None:
        self.dialogue = SOURCE.dialogue([chain], {}, KEYS)
        self.offset = offset
        self.now_ns = T0 + 123 * MS
        self.way_ns = way_ns
        self.asked: list[tuple[int, str]] = []
        self.told: list[Heartbeat] = []
        self.offsets: list[int] = []
        self.dialogue.open(self.now_ns)

    def pass_by(self, seconds: float, *, every_ns: int = 50 * MS) -> None:
        """Have pushes come in for so long, and questions answered meanwhile."""
        end = self.now_ns + int(seconds * SECOND_NS)
        while self.now_ns < end:
            self.now_ns += every_ns
            self.receive(b'{"method": "x.update", "params": [], "id": null}')

    def ping(self) -> None:
        self._answer(self.dialogue.ping(self.now_ns))

    def receive(self, payload: bytes) -> list[Any]:
        said = list(self.dialogue.receive(payload, self.now_ns))
        beats = [reply for reply in said if isinstance(reply, Heartbeat)]
        self.told += beats
        self.offsets += [b.ts_event - self.now_ns for b in beats if b.ts_event]
        requests = [r for item in said if isinstance(item, Send) for r in item.requests]
        for request in requests:
            if b"server.time" in request.payload:
                assert request == Request(payload=request.payload)
                self._answer(request.payload)
        return said

    def _answer(self, payload: bytes) -> None:
        asked = json.loads(payload)
        self.asked.append((self.now_ns, asked["method"]))
        at_venue = self.now_ns + self.way_ns + self.offset
        self.now_ns += 2 * self.way_ns
        is_time = asked["method"] == "server.time"
        result: Any = at_venue // SECOND_NS if is_time else "pong"
        answer = {"error": None, "result": result, "id": asked["id"]}
        self.receive(json.dumps(answer).encode())


@pytest.fixture(params=["trades", "orders"])
def line_of(request: pytest.FixtureRequest) -> Callable[..., Line]:
    chain = Chain("BTC_USDT", request.param)
    return lambda offset, **facts: Line(chain, offset, **facts)


@pytest.mark.parametrize("offset", [0, 250 * MS, -1_730 * MS, 3_999 * MS])
def test_the_offset_is_told_soon_and_to_the_way_there_and_back(
    line_of: Callable[..., Line], offset: int
) -> None:
    line = line_of(offset)
    line.pass_by(30)

    assert all(abs(told - offset) <= PRECISE_NS // 2 for told in line.offsets)
    assert abs(line.offsets[-1] - offset) <= 30 * MS
    assert len(line.asked) <= ROUND_ASKS


def test_a_single_answer_is_no_figure(line_of: Callable[..., Line]) -> None:
    line = line_of(250 * MS)
    line.pass_by(1.05)

    assert [method for _, method in line.asked] == ["server.time"]
    assert line.told == [Heartbeat()]


def test_the_time_is_asked_for_again_after_a_while(
    line_of: Callable[..., Line],
) -> None:
    line = line_of(0)
    line.pass_by(60)
    asked = len(line.asked)
    line.pass_by(1)
    assert len(line.asked) == asked

    line.now_ns += ROUND_NS
    line.pass_by(30)

    assert asked < len(line.asked) <= 2 * ROUND_ASKS


def test_pings_of_a_quiet_connection_ask_for_the_time_in_turn(
    line_of: Callable[..., Line],
) -> None:
    line = line_of(-400 * MS, way_ns=3 * MS)
    chance = random.Random(1)
    for _ in range(80):
        line.now_ns += chance.randrange(14 * SECOND_NS, 16 * SECOND_NS)
        line.ping()

    methods = [method for _, method in line.asked]
    assert methods.count("server.ping") == 40
    assert line.offsets
    assert abs(line.offsets[-1] + 400 * MS) <= PRECISE_NS // 2


def test_after_a_clock_was_set_the_old_figure_is_withdrawn(
    line_of: Callable[..., Line],
) -> None:
    line = line_of(0)
    line.pass_by(20)
    assert line.offsets
    line.offset = 90 * SECOND_NS
    line.told.clear()

    line.now_ns += ROUND_NS
    line.pass_by(0.1)
    assert line.told[0] == Heartbeat(is_clock_lost=True)
    line.pass_by(20)

    assert abs(line.offsets[-1] - 90 * SECOND_NS) <= PRECISE_NS // 2


@pytest.mark.parametrize("result", ["null", '"1"', "1.5", "-1", "1e30", "[]"])
def test_an_answer_that_is_no_time_is_kept(
    line_of: Callable[..., Line], result: str
) -> None:
    line = line_of(0)
    line.dialogue.ping(line.now_ns)
    number = json.loads(line.dialogue.ping(line.now_ns))["id"]

    said = line.receive(
        f'{{"error": null, "result": {result}, "id": {number}}}'.encode()
    )

    assert [type(reply) for reply in said] == [Unrecognized]


def test_questions_that_are_not_answered_are_forgotten(
    line_of: Callable[..., Line],
) -> None:
    line = line_of(0)
    numbers = [json.loads(line.dialogue.ping(line.now_ns))["id"] for _ in range(40)]

    frame = f'{{"error": null, "result": 1700000000, "id": {numbers[1]}}}'
    (first,) = line.receive(frame.encode())
    (last,) = line.receive(frame.replace(str(numbers[1]), str(numbers[-1])).encode())

    assert isinstance(first, Unrecognized)
    assert isinstance(last, Heartbeat)
