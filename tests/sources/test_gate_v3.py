import contextlib
import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import ConfigError, WireError
from recorder.model import Chain, Trade
from recorder.source import (
    BookRule,
    Heartbeat,
    Refused,
    Request,
    Send,
    Subscribed,
    Unrecognized,
    canonical_stream,
)
from recorder.sources._gate_v3_market import MarketDialogue as Dialogue
from recorder.sources.gate_v3 import SOURCE


NOW_NS = 1_617_000_000_500_000_000
SECOND_NS = 10**9
LISTED = [
    Chain(market, stream)
    for stream in ("trades", "tickers", "depth:30")
    for market in ("BTC_USDT", "ETH_USDT")
]
CHAINS = [*LISTED, Chain("BTC_USDT", "klines:30m")]

Plain = Callable[[Sequence[Any]], Any]


def sent(requests: Sequence[Request]) -> list[tuple[str, list[Any]]]:
    frames = [json.loads(request.payload) for request in requests]
    assert all(frame.keys() == {"id", "method", "params"} for frame in frames)
    return [(frame["method"], frame["params"]) for frame in frames]


def answer(request: Request, result: Any = None, code: int | None = None) -> bytes:
    """What the venue answers: a result, or an error, or that it succeeded."""
    error = None if code is None else {"code": code, "message": f"words of {code}"}
    if result is None and error is None:
        result = {"status": "success"}
    number = json.loads(request.payload)["id"]
    return json.dumps({"error": error, "result": result, "id": number}).encode()


def for_chains(said: Sequence[Any]) -> list[Request]:
    """What is to be sent for chains; the time is asked for beside that."""
    requests = [r for reply in said if isinstance(reply, Send) for r in reply.requests]
    return [request for request in requests if request.chains]


def trades(market: str, *ids: int) -> bytes:
    rows = [
        {"id": n, "time": n + 0.5, "price": "1", "amount": "1", "type": "buy"}
        for n in ids
    ]
    frame = {"method": "trades.update", "params": [market, rows], "id": None}
    return json.dumps(frame).encode()


def origins(said: Sequence[Any]) -> list[tuple[int, str]]:
    assert all(isinstance(event, Trade) for event in said)
    return [(event.trade_id, event.origin) for event in said]


# Frames ------------------------------------------------------------------


def test_frame_says_what_it_must(
    case_frame: bytes, case_said: list[Any], plain: Plain
) -> None:
    said = Dialogue(CHAINS, {}).receive(case_frame, NOW_NS)

    assert plain(said) == case_said


def test_depth_carries_the_stream_and_limit_of_its_connection() -> None:
    dialogue = Dialogue([Chain("BTC_USDT", "depth:5@0.01")], {})

    (update,) = dialogue.receive(
        b'{"method": "depth.update", "params": [false, {}, "BTC_USDT"], "id": null}', 0
    )

    assert (update.stream, update.depth_limit) == ("depth:5@0.01", 5)


DEPTH = (
    '{"method": "depth.update", "params": [true, {"asks": [["2", "1"]], "bids": [],'
    ' "id": 7, "current": 1669860182.101}, "BTC_USDT"], "id": null}'
)
TRADES = (
    '{"method": "trades.update", "params": ["BTC_USDT", [{"id": 1, "time": 1.5,'
    ' "price": "2", "amount": "3", "type": "buy"}]], "id": null}'
)
TICKER = (
    '{"method": "ticker.update", "params": ["BTC_USDT", {"period": 86400,'
    ' "last": "1"}], "id": null}'
)
KLINE = (
    '{"method": "kline.update", "params": [[60, "1", "2", "3", "0", "5", "6",'
    ' "BTC_USDT", true]], "id": null}'
)


@pytest.mark.parametrize(
    ("frame", "old", "new"),
    [
        (DEPTH, "true", "1"),
        (DEPTH, '"BTC_USDT"', "7"),
        (DEPTH, ', "BTC_USDT"', ""),
        (DEPTH, "1669860182.101", '"1669860182.101"'),
        (DEPTH, "1669860182.101", "1e999"),
        (DEPTH, "1669860182.101", "-1"),
        (DEPTH, "1669860182.101", "[1]"),
        (DEPTH, '[["2", "1"]]', "[["),
        (DEPTH, '[["2", "1"]]', "[" * 5000),
        (DEPTH, '{"asks": [["2", "1"]], "bids": [], "id": 7, "current":', "[[],"),
        (TRADES, "1.5", '"1.5"'),
        (TRADES, "1.5", "1e999"),
        (TRADES, "1.5", "-1.5"),
        (TRADES, "1.5", "null"),
        (TRADES, '"id": 1,', ""),
        (TRADES, '"id": 1,', '"id": 9223372036854775808,'),
        (TRADES, '"buy"', '"BUY"'),
        (TRADES, '"price": "2"', '"price": 2'),
        (TRADES, '[{"id"', '{"id"'),
        (TICKER, "86400", '"86400"'),
        (TICKER, '"last": "1"', '"last": 1'),
        (KLINE, "60,", '"60",'),
        (KLINE, "60,", "9223372037,"),
        (KLINE, '"1",', "1,"),
        (KLINE, ', "BTC_USDT", true', ""),
        (KLINE, "true", '"true"'),
    ],
)
def test_frame_that_does_not_fit_is_a_wire_error(
    frame: str, old: str, new: str
) -> None:
    dialogue = Dialogue(CHAINS, {})
    assert dialogue.receive(frame.encode(), NOW_NS)
    assert old in frame

    with pytest.raises(WireError):
        dialogue.receive(frame.replace(old, new).encode(), NOW_NS)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"nope",
        b"7",
        b"[]",
        b'{"method": "depth.update"}',
        b'{"method": "depth.update", "params": {}}',
        b'{"method": 7}',
        b'{"id": "1"}',
        b'{"id": 1.5}',
        b'{"error": "no"}',
        b'{"error": {"code": "1"}}',
        b'{"method": "trades.update", "params": ["A", [1,]], "id": null}',
        b"{'method': 'balance.update', 'params': [], 'id': None}",
        b'{"method": "\xff"}',
        b'{"x": "\xff"}',
        DEPTH.encode().replace(b'"2"', b'"\xff"'),
        b"[" * 100_000,
        b'{"x":' * 100_000,
    ],
)
def test_what_is_no_frame_is_a_wire_error(frame: bytes) -> None:
    with pytest.raises(WireError):
        Dialogue(CHAINS, {}).receive(frame, NOW_NS)


@given(frame=st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_wire_errors(frame: bytes) -> None:
    _survive(Dialogue(CHAINS, {}), frame)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_frames_raise_nothing_but_wire_errors(
    data: st.DataObject, mutants: Callable[[Sequence[bytes]], Any]
) -> None:
    dialogue = Dialogue(CHAINS, {})
    requests = dialogue.open(NOW_NS)
    whole = [frame.encode() for frame in (DEPTH, TRADES, TICKER, KLINE)]
    whole += [
        answer(requests[0]),
        answer(requests[0], code=1),
        answer(requests[1], code=3),
        answer(requests[-1], result=[]),
    ]

    for _ in range(4):
        _survive(dialogue, data.draw(mutants(whole)))


def _survive(dialogue: Dialogue, frame: bytes) -> None:
    with contextlib.suppress(WireError):
        dialogue.receive(frame, NOW_NS)
    with contextlib.suppress(WireError):
        dialogue.unknown_keys(frame)


# History -----------------------------------------------------------------


def test_first_trades_of_each_market_are_history() -> None:
    dialogue = Dialogue(CHAINS, {})

    assert origins(dialogue.receive(trades("BTC_USDT", 9, 8, 7), NOW_NS)) == [
        (9, "history"),
        (8, "history"),
        (7, "history"),
    ]
    assert origins(dialogue.receive(trades("BTC_USDT", 10), NOW_NS)) == [(10, "live")]
    assert origins(dialogue.receive(trades("ETH_USDT", 3), NOW_NS)) == [(3, "history")]
    assert origins(dialogue.receive(trades("ETH_USDT", 4), NOW_NS)) == [(4, "live")]


def test_empty_history_is_the_history_all_the_same() -> None:
    dialogue = Dialogue(CHAINS, {})

    assert dialogue.receive(trades("BTC_USDT"), NOW_NS) == []
    assert origins(dialogue.receive(trades("BTC_USDT", 1), NOW_NS)) == [(1, "live")]


def test_history_pushed_again_is_told_from_live_trades_before_it() -> None:
    dialogue = Dialogue(CHAINS, {})
    dialogue.receive(trades("BTC_USDT", 9, 8), NOW_NS)
    dialogue.resubscribe([Chain("ETH_USDT", "trades")], NOW_NS)

    before = dialogue.receive(trades("BTC_USDT", 10), NOW_NS)
    history = dialogue.receive(trades("BTC_USDT", 10, 9, 8), NOW_NS)
    after = dialogue.receive(trades("BTC_USDT", 12, 11), NOW_NS)

    assert origins(before) == [(10, "live")]
    assert origins(history) == [(10, "history"), (9, "history"), (8, "history")]
    assert origins(after) == [(12, "live"), (11, "live")]


def test_frame_that_does_not_fit_does_not_count_as_the_history() -> None:
    dialogue = Dialogue(CHAINS, {})
    damaged = trades("BTC_USDT", 9).replace(b"9.5", b"-9.5")

    with pytest.raises(WireError):
        dialogue.receive(damaged, NOW_NS)

    assert origins(dialogue.receive(trades("BTC_USDT", 9), 0)) == [(9, "history")]


# Asking ------------------------------------------------------------------


def test_opening_asks_for_every_chain_in_the_forms_of_the_venue() -> None:
    requests = Dialogue(CHAINS, {}).open(NOW_NS)

    assert sent(requests) == [
        ("trades.subscribe", ["BTC_USDT", "ETH_USDT"]),
        ("ticker.subscribe", ["BTC_USDT", "ETH_USDT"]),
        ("depth.subscribe", [["BTC_USDT", 30, "0"], ["ETH_USDT", 30, "0"]]),
        ("kline.subscribe", ["BTC_USDT", 1800]),
    ]
    assert [chain for request in requests for chain in request.chains] == CHAINS


def test_price_aggregation_is_asked_for() -> None:
    chains = [Chain("BTC_USDT", "depth:10@0.00000001")]

    assert sent(Dialogue(chains, {}).open(NOW_NS)) == [
        ("depth.subscribe", [["BTC_USDT", 10, "0.00000001"]])
    ]


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [("10s", 10), ("1m", 60), ("4h", 14_400), ("7d", 604_800), ("30d", 2_592_000)],
)
def test_kline_interval_is_asked_for_in_seconds(interval: str, seconds: int) -> None:
    chains = [Chain("BTC_USDT", f"klines:{interval}")]

    assert sent(Dialogue(chains, {}).open(NOW_NS)) == [
        ("kline.subscribe", ["BTC_USDT", seconds])
    ]


def test_resubscribing_asks_for_the_whole_list_because_it_replaces() -> None:
    dialogue = Dialogue(CHAINS, {})
    dialogue.open(NOW_NS)

    requests = dialogue.resubscribe([Chain("ETH_USDT", "depth:30")], NOW_NS)

    assert sent(requests) == [
        ("depth.subscribe", [["BTC_USDT", 30, "0"], ["ETH_USDT", 30, "0"]])
    ]
    assert dialogue.receive(answer(requests[0]), NOW_NS) == [
        Subscribed(chains=tuple(LISTED[4:]))
    ]


def test_the_pong_of_the_documents_has_another_id_and_is_one() -> None:
    dialogue = Dialogue(CHAINS, {})
    dialogue.open(NOW_NS)
    dialogue.ping(NOW_NS)

    # As printed there, to a request with id 12312.
    pong = b'{"error": null, "result": "pong", "id": 1000}'

    assert dialogue.receive(pong, NOW_NS) == [Heartbeat()]


def test_nothing_is_ever_unsubscribed_because_a_list_replaces() -> None:
    dialogue = Dialogue(CHAINS, {})
    requests = [*dialogue.open(NOW_NS), *dialogue.resubscribe(CHAINS, NOW_NS)]
    requests += dialogue.ask_again(CHAINS[:1], NOW_NS)

    assert {method.partition(".")[2] for method, _ in sent(requests)} == {"subscribe"}


def test_ids_are_distinct_over_the_life_of_a_connection() -> None:
    dialogue = Dialogue(CHAINS, {})

    payloads = [request.payload for request in dialogue.open(NOW_NS)]
    payloads += [dialogue.ping(NOW_NS), dialogue.ping(NOW_NS)]
    payloads += [request.payload for request in dialogue.resubscribe(CHAINS, NOW_NS)]

    ids = [json.loads(payload)["id"] for payload in payloads]
    assert sorted(set(ids)) == sorted(ids)
    assert json.loads(payloads[4]) == {
        "id": ids[4],
        "method": "server.ping",
        "params": [],
    }


# Answers -----------------------------------------------------------------


def test_answers_are_told_by_their_id_alone() -> None:
    dialogue = Dialogue(CHAINS, {})

    for request in reversed(dialogue.open(NOW_NS)):
        assert dialogue.receive(answer(request), NOW_NS) == [
            Subscribed(chains=request.chains)
        ]
        (again,) = dialogue.receive(answer(request), NOW_NS)
        assert isinstance(again, Unrecognized)


def test_refused_list_is_tried_market_by_market_without_replacing_anything() -> None:
    chains = [Chain(f"M{n}_USDT", "depth:20@0.01") for n in range(4)]
    dialogue = Dialogue(chains, {})
    (request,) = dialogue.open(NOW_NS)

    (trial,) = dialogue.receive(answer(request, code=1), NOW_NS)
    replies = [
        dialogue.receive(answer(query, result={"asks": [], "bids": []}), NOW_NS)
        if number != 2
        else dialogue.receive(answer(query, code=1), NOW_NS)
        for number, query in enumerate(trial.requests)
    ]

    assert sent(trial.requests) == [
        ("depth.query", [f"M{n}_USDT", 20, "0.01"]) for n in range(4)
    ]
    assert [query.chains for query in trial.requests] == [(c,) for c in chains]
    assert replies[:3] == [[], [], [Refused(chains=(chains[2],), reason="words of 1")]]
    ((last,),) = [replies[3]]
    assert sent(last.requests) == [
        ("depth.subscribe", [[f"M{n}_USDT", 20, "0.01"] for n in (0, 1, 3)])
    ]
    assert dialogue.receive(answer(last.requests[0]), NOW_NS) == [
        Subscribed(chains=(chains[0], chains[1], chains[3]))
    ]
    again = dialogue.resubscribe([chains[0]], NOW_NS)
    assert again[0].chains == (chains[0], chains[1], chains[3])


@pytest.mark.parametrize(
    ("stream", "query"),
    [
        ("trades", ("trades.query", ["B_B", 1, 0])),
        ("tickers", ("ticker.query", ["B_B", 86400])),
    ],
)
def test_each_list_is_tried_with_its_own_query(
    stream: str, query: tuple[str, list[Any]]
) -> None:
    chains = [Chain("A_A", stream), Chain("B_B", stream)]
    dialogue = Dialogue(chains, {})
    (request,) = dialogue.open(NOW_NS)

    (trial,) = dialogue.receive(answer(request, code=1), NOW_NS)
    dialogue.receive(answer(trial.requests[1], code=1), NOW_NS)
    (last,) = dialogue.receive(answer(trial.requests[0], result=[]), NOW_NS)

    assert sent(trial.requests)[1] == query
    assert last.requests[0].chains == (chains[0],)


def test_list_of_bad_markets_alone_is_refused_wholly() -> None:
    dialogue = Dialogue(LISTED[:2], {})
    (request,) = dialogue.open(NOW_NS)
    (trial,) = dialogue.receive(answer(request, code=1), NOW_NS)

    replies = [
        reply
        for query in trial.requests
        for reply in dialogue.receive(answer(query, code=1), NOW_NS)
    ]

    assert replies == [
        Refused(chains=(chain,), reason="words of 1") for chain in LISTED[:2]
    ]
    assert dialogue.resubscribe(LISTED[:2], NOW_NS) == []


def test_list_refused_after_trying_each_market_is_refused() -> None:
    dialogue = Dialogue(LISTED[:2], {})
    (request,) = dialogue.open(NOW_NS)
    (trial,) = dialogue.receive(answer(request, code=1), NOW_NS)
    dialogue.receive(answer(trial.requests[0], result=[]), NOW_NS)
    (last,) = dialogue.receive(answer(trial.requests[1], result=[]), NOW_NS)

    said = dialogue.receive(answer(last.requests[0], code=1), NOW_NS)

    assert said == [Refused(chains=tuple(LISTED[:2]), reason="words of 1")]


@pytest.mark.parametrize("chains", [CHAINS[-1:], LISTED[:1]])
def test_single_market_is_refused_at_once(chains: list[Chain]) -> None:
    dialogue = Dialogue(chains, {})
    (request,) = dialogue.open(NOW_NS)

    said = dialogue.receive(answer(request, code=1), NOW_NS)

    assert said == [Refused(chains=tuple(chains), reason="words of 1")]


def test_unknown_method_is_refused_without_trying_markets() -> None:
    dialogue = Dialogue(LISTED[:2], {})
    (request,) = dialogue.open(NOW_NS)

    said = dialogue.receive(answer(request, code=4), NOW_NS)

    assert said == [Refused(chains=tuple(LISTED[:2]), reason="words of 4")]


def test_failure_without_an_error_is_a_refusal() -> None:
    dialogue = Dialogue(LISTED[:1], {})
    (request,) = dialogue.open(NOW_NS)

    said = dialogue.receive(answer(request, result={"status": "fail"}), NOW_NS)

    assert said == [Refused(chains=tuple(LISTED[:1]), reason="status 'fail'")]


def test_answer_of_another_shape_is_a_wire_error() -> None:
    dialogue = Dialogue(LISTED[:1], {})
    (request,) = dialogue.open(NOW_NS)

    with pytest.raises(WireError):
        dialogue.receive(answer(request, result="success"), NOW_NS)


@pytest.mark.parametrize("code", [2, 3, 5])
def test_trouble_of_the_server_is_answered_by_asking_again_with_pauses(
    code: int,
) -> None:
    dialogue = Dialogue(LISTED[:2], {})
    (request,) = dialogue.open(NOW_NS)
    pong = b'{"error": null, "result": "pong", "id": 0}'
    now_ns = NOW_NS

    for pause_s in (0, 1, 2, 4):
        said = dialogue.receive(answer(request, code=code), now_ns)
        if pause_s:
            assert said == []
            now_ns += pause_s * SECOND_NS
            assert for_chains(dialogue.receive(pong, now_ns - 1)) == []
            said = dialogue.receive(pong, now_ns)
        (again,) = for_chains(said)
        assert sent([again]) == sent([request])
        assert again.chains == request.chains
        assert again.payload != request.payload
        request = again
    said = dialogue.receive(answer(request, code=code), now_ns)

    assert said == [
        Refused(chains=request.chains, reason=f"words of {code} (asked 5 times)")
    ]
    assert for_chains(dialogue.receive(pong, now_ns + 3600 * SECOND_NS)) == []


def test_trouble_during_a_trial_does_not_refuse_the_market() -> None:
    dialogue = Dialogue(LISTED[:2], {})
    (request,) = dialogue.open(NOW_NS)
    (trial,) = dialogue.receive(answer(request, code=1), NOW_NS)

    (send,) = dialogue.receive(answer(trial.requests[0], code=5), NOW_NS)
    dialogue.receive(answer(trial.requests[1], code=1), NOW_NS)
    (last,) = dialogue.receive(answer(send.requests[0], result=[]), NOW_NS)

    assert sent(send.requests) == sent(trial.requests[:1])
    assert last.requests[0].chains == (LISTED[0],)


# Grouping, books ---------------------------------------------------------


def test_each_depth_parameter_and_each_kline_has_its_own_connection() -> None:
    kline_1, kline_2, kline_3 = (
        Chain("A_B", "klines:1m"),
        Chain("C_D", "klines:1m"),
        Chain("A_B", "klines:1h"),
    )
    chains = [
        Chain("A_B", "depth:30"),
        Chain("A_B", "depth:30@0.01"),
        Chain("A_B", "trades"),
        kline_1,
        Chain("C_D", "depth:30"),
        Chain("C_D", "tickers"),
        kline_2,
        kline_3,
    ]

    groups = SOURCE.plan(chains)

    assert groups == [
        (chains[2], chains[5], chains[0], chains[4], kline_1),
        (chains[1],),
        (kline_2,),
        (kline_3,),
    ]
    for group in groups:
        requests = SOURCE.dialogue(group, {}).open(NOW_NS)
        assert {c for r in requests for c in r.chains} == set(group)


def test_klines_alone_need_no_other_connection() -> None:
    chains = [Chain("A_B", "klines:1m"), Chain("C_D", "klines:1m")]

    assert SOURCE.plan(chains) == [(chains[0],), (chains[1],)]
    assert SOURCE.plan([]) == []


def test_many_markets_are_spread_so_that_a_trial_is_short() -> None:
    chains = [
        Chain(f"M{n}_USDT", stream)
        for stream in ("trades", "depth:30")
        for n in range(600)
    ]

    groups = SOURCE.plan(chains)

    assert [len(group) for group in groups] == [500, 500, 200]
    assert [c.market for c in groups[1][:250]] == [c.market for c in groups[1][250:]]


@pytest.mark.parametrize(
    "chains",
    [
        [Chain("A_B", "depth:30"), Chain("A_B", "depth:20")],
        [Chain("A_B", "klines:1m"), Chain("C_D", "klines:1m")],
    ],
)
def test_chains_that_cannot_share_a_connection_are_refused(
    chains: list[Chain],
) -> None:
    with pytest.raises(ValueError, match="one connection"):
        Dialogue(chains, {})


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("depth", "depth:30"),
        ("depth:30@0", "depth:30"),
        ("depth:1@0", "depth:1"),
        ("depth:30@0.01", "depth:30@0.01"),
        ("depth:5@0.00000001", "depth:5@0.00000001"),
    ],
)
def test_depth_streams_have_one_spelling(typed: str, canonical: str) -> None:
    assert canonical_stream(SOURCE, typed) == canonical


@pytest.mark.parametrize(
    "typed", ["depth:2", "depth:30@1", "depth:30@", "depth:30@0.010", "bbo", "klines"]
)
def test_illegal_streams_are_refused(typed: str) -> None:
    with pytest.raises(ConfigError):
        canonical_stream(SOURCE, typed)


def test_books_come_in_band_and_have_no_ids() -> None:
    assert SOURCE.book_rule("depth:20@0.1") == BookRule(
        has_ids=False, snapshot="in_band", depth_limit=20
    )
    assert SOURCE.book_rule("trades") is None
    assert SOURCE.snapshot is None


# Keys not known ----------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "paths"),
    [
        (DEPTH, ()),
        (DEPTH.replace('"id": null', '"id": null, "v": 3'), ()),
        (
            DEPTH.replace('"current"', '"checksum": 1, "current"'),
            ("params.1.checksum",),
        ),
        (DEPTH.replace('"BTC_USDT"', '"BTC_USDT", 4, 5'), ("params.3", "params.4")),
        (TRADES.replace('"type"', '"fee": "0", "type"'), ("params.1.fee",)),
        (TICKER.replace('"last"', '"lust"'), ("params.1.lust",)),
        (KLINE, ()),
        (KLINE.replace("true", "true, 1"), ("params.9",)),
        ('{"method": "order.update", "params": [{"x": 1}], "w": 1}', ("w",)),
        (
            '{"error": {"code": 1, "hint": 1}, "result": {"x": 1}, "id": 1, "w": 1}',
            ("error.hint", "w"),
        ),
    ],
)
def test_keys_that_are_not_known_are_named(frame: str, paths: tuple[str, ...]) -> None:
    assert Dialogue(CHAINS, {}).unknown_keys(frame.encode()) == paths
