import msgspec
import pytest

from recorder.errors import ConfigError
from recorder.simulator.faults import (
    KINDS,
    RANDOM,
    Fault,
    FaultPlan,
    Strike,
    expand,
    parse,
)
from recorder.simulator.market_faults import SILENT_ACK_RANDOM


SECOND_NS = 10**9

FINAL = {
    f"cryptolisting_{name}"
    for name in (
        "http_400",
        "http_401",
        "http_403",
        "http_426",
        "key_expired",
        "key_revoked",
        "key_invalidated",
        "frame_too_large",
        "no_welcome",
    )
}
"""Faults that are to end a recording."""


def strikes(
    plan: FaultPlan, name: str, times: list[float], **about: str
) -> list[float]:
    """Return at which of some opportunities (in seconds) a fault happened."""
    return [t for t in times if plan.strike(name, int(t * SECOND_NS), **about)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop", Fault(name="drop")),
        ("drop:at=5", Fault(name="drop", at=5.0)),
        (
            "drop:stream=depth,market=BTC_USDT,count=2",
            Fault(name="drop", stream="depth", market="BTC_USDT", count=2),
        ),
        (
            "drop:stream=depth,parameter=obu.400",
            Fault(name="drop", stream="depth", parameter="obu.400"),
        ),
        ("full:parameter=obu.50", Fault(name="full", parameter="obu.50")),
        ("abort:every=20", Fault(name="abort", every=20.0, count=None)),
        (
            "malformed:probability=0.01",
            Fault(name="malformed", probability=0.01, count=None),
        ),
        (
            "malformed:probability=0.01,count=3",
            Fault(name="malformed", probability=0.01, count=3),
        ),
        ("delay:seconds=0.5", Fault(name="delay", seconds=0.5)),
        ("v3_error:code=5", Fault(name="v3_error", code=5)),
        ("v5_error:code=60018", Fault(name="v5_error", code=60018)),
        (
            "silent_ack:stream=trades,at=3",
            Fault(name="silent_ack", stream="trades", at=3.0),
        ),
        ("random:probability=4", Fault(name="random", probability=4.0, count=None)),
    ],
)
def test_a_text_orders_a_fault(text: str, fault: Fault):
    assert parse(text) == fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explode", "there is no fault 'explode'; there are random, drop"),
        (
            "drop:often=1",
            "probability, at, every, count, stream, parameter, market, feed, not",
        ),
        ("drop:seconds=1", "takes probability"),
        ("drop:stream=status", "hits streams depth, trades"),
        ("drop:feed=v3", "hits feeds v4, futures, not 'v3'"),
        ("v3_drop:feed=v4", "takes probability, .* market, not 'feed'"),
        ("drop:probability=2", "probability cannot be '2'"),
        ("drop:probability=x", "probability cannot be 'x'"),
        ("drop:at=-1", "at cannot be '-1'"),
        ("drop:count=1.5", "count cannot be '1.5'"),
        ("v3_error:code=7", "code cannot be '7'"),
        ("v5_error:code=3", "code cannot be '3'"),
        ("v5_error:code=60000", "code cannot be '60000'"),
        ("random:count=1", "takes probability, at, not 'count'"),
        ("drop:at", "at cannot be ''"),
        ("drop:,", "not ''"),
    ],
)
def test_an_illegal_order_is_refused_with_what_is_legal(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_a_fault_without_timing_happens_once():
    plan = FaultPlan([parse("drop:at=2")], seed=1, start_ns=SECOND_NS)

    assert strikes(plan, "drop", [1, 2, 2.9, 3, 3.1, 9]) == [3]


def test_every_keeps_faults_apart():
    plan = FaultPlan([parse("abort:every=10")], seed=1, start_ns=0)

    assert strikes(plan, "abort", [0, 5, 9.9, 10, 19, 21, 30, 31]) == [0, 10, 21, 31]


def test_a_fault_hits_only_what_it_is_aimed_at():
    plan = FaultPlan(
        [parse("drop:stream=depth,market=A_B,count=9")], seed=1, start_ns=0
    )

    assert strikes(plan, "drop", [1], stream="trades", market="A_B") == []
    assert strikes(plan, "drop", [1], stream="depth", market="A_C") == []
    assert strikes(plan, "drop", [1, 2], stream="depth", market="A_B") == [1, 2]
    assert strikes(plan, "duplicate", [1], stream="depth", market="A_B") == []


def test_a_fault_can_be_aimed_at_one_of_the_streams_of_a_kind():
    plan = FaultPlan([parse("drop:parameter=obu.400,count=9")], seed=1, start_ns=0)

    assert strikes(plan, "drop", [1], stream="depth", parameter="100ms") == []
    assert strikes(plan, "drop", [1, 2], parameter="obu.400") == [1, 2]


def test_a_fault_can_be_aimed_at_one_of_the_feeds_that_share_it():
    plan = FaultPlan([parse("drop:feed=futures,count=2,at=1")], seed=1)
    spot, futures = plan.of("v4"), plan.of("futures")
    spot.begin(0)
    plan.order(parse("abort"))

    assert strikes(spot, "drop", [2]) == []
    assert strikes(futures, "drop", [0.5, 2, 3, 4]) == [2, 3]
    assert strikes(spot, "abort", [5]) == [5]
    assert strikes(futures, "abort", [5]) == []


def test_chance_is_as_ordered_and_follows_the_seed():
    times = [float(k) for k in range(20_000)]

    def happened(seed: int) -> list[float]:
        plan = FaultPlan([parse("drop:probability=0.1")], seed=seed, start_ns=0)
        return strikes(plan, "drop", times)

    assert happened(1) == happened(1)
    assert happened(1) != happened(2)
    assert 1_800 < len(happened(1)) < 2_200


def test_chance_by_the_second_does_not_depend_on_the_steps():
    counts = []
    for steps in (1, 100):
        plan = FaultPlan([parse("stall:probability=0.2")], seed=3, start_ns=0)
        counts.append(
            sum(
                plan.strike("stall", k, elapsed_seconds=1 / steps) is not None
                for k in range(3_000 * steps)
            )
        )

    assert counts[0] == pytest.approx(600, rel=0.12)
    assert counts[1] == pytest.approx(3_000 * 0.223, rel=0.12)  # -ln(1 - 0.2)


def test_seconds_are_the_kinds_own_unless_given():
    plan = FaultPlan([Fault(name="delay")], seed=1, start_ns=0)
    plan.order(Fault(name="delay", seconds=2.0))

    assert plan.strike("delay", 1) == Strike("delay", KINDS["delay"].seconds, 0)
    assert plan.strike("delay", 1) == Strike("delay", 2.0, 0)
    plan.order(Fault(name="v3_error"))
    plan.order(Fault(name="v3_error", code=5))
    assert [plan.strike("v3_error", 1).code for _ in range(2)] == [3, 5]
    assert plan.longest("delay") == 2.0
    assert plan.longest("stall") == 0.0
    assert plan.has("delay")
    assert not plan.has("stall")


def test_random_stands_for_every_fault_that_does_not_hide():
    names = {fault.name for fault in expand(Fault(name=RANDOM))}

    hidden = {"v3_drop"} if SILENT_ACK_RANDOM else {"v3_drop", "silent_ack"}
    ordered = {"drift", "http_garbled", "stale_history"}
    assert names == set(KINDS) - hidden - ordered - FINAL


def test_random_chances_scale_and_never_pass_one():
    faults = {f.name: f for f in expand(parse("random:probability=20,at=3"))}

    assert faults["drop"].probability == pytest.approx(20 * KINDS["drop"].random)
    assert faults["stale_snapshot"].probability == 1.0
    assert {f.at for f in faults.values()} == {3.0}
    assert {f.count for f in faults.values()} == {None}


def test_an_unknown_fault_cannot_be_ordered():
    with pytest.raises(ConfigError, match="no fault"):
        FaultPlan([Fault(name="explode")], seed=1, start_ns=0)


def test_silence_joins_the_random_faults_by_one_constant(monkeypatch):
    before = parse("silent_ack:stream=trades,market=BTC_USDT,probability=0.5")
    monkeypatch.setitem(
        KINDS, "silent_ack", msgspec.structs.replace(KINDS["silent_ack"], random=0.02)
    )

    assert before == parse("silent_ack:stream=trades,market=BTC_USDT,probability=0.5")
    chances = {f.name: f.probability for f in expand(parse("random:probability=2"))}
    assert chances["silent_ack"] == pytest.approx(0.04)
    ordered = {"drift", "http_garbled", "stale_history"}
    assert set(chances) == set(KINDS) - {"v3_drop"} - ordered - FINAL


def test_time_counts_from_the_first_subscription():
    plan = FaultPlan([parse("drop:at=2")], seed=1)

    assert strikes(plan, "drop", [0, 5, 99]) == []
    plan.begin(100 * SECOND_NS)
    plan.begin(200 * SECOND_NS)
    assert strikes(plan, "drop", [100, 101.9, 102, 103]) == [102]


def test_a_fault_without_a_time_happens_before_anything_is_subscribed():
    plan = FaultPlan([parse("handshake_502")], seed=1)

    assert strikes(plan, "handshake_502", [3, 4]) == [3]
