import contextlib
import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import WireError
from recorder.model import Chain
from recorder.source import (
    BookRule,
    Refused,
    Request,
    Send,
    Subscribed,
    Unrecognized,
    canonical_stream,
)
from recorder.sources.gate_spot import SOURCE, Dialogue


NOW_NS = 1_790_000_000_900_000_000
SECOND_NS = 10**9
STREAMS = (
    *("trades", "tickers", "bbo", "depth:obu.400", "depth:obu.50"),
    *("klines:1m", "klines:4h", "depth:100ms", "depth:top.20"),
)
CHAINS = [Chain(m, s) for s in STREAMS for m in ("BTC_USDT", "ETH_USDT")]

Plain = Callable[[Sequence[Any]], Any]


def sent(requests: Sequence[Request]) -> list[dict[str, Any]]:
    return [json.loads(request.payload) for request in requests]


def ack(request: Request, **changes: Any) -> bytes:
    """The answer of 2026 to a request; a change to None leaves a key out."""
    asked = json.loads(request.payload)
    frame = {
        "time": 1790000001,
        "time_ms": 1790000001234,
        "id": asked["id"],
        "conn_id": "8b9b24f2d19b4d6b",
        "trace_id": "6e4f232b79391323e3a8a26fdd9b2d9e",
        "channel": asked["channel"],
        "event": asked["event"],
        "payload": asked["payload"],
        "result": {"status": "success"},
        "requestId": "6e4f232b79391323e3a8a26fdd9b2d9e",
        **changes,
    }
    return json.dumps({k: v for k, v in frame.items() if v is not None}).encode()


def refusal(request: Request, code: int, message: str, **changes: Any) -> bytes:
    error = {"code": code, "message": message}
    return ack(request, error=error, result={"status": "fail"}, **changes)


def short_ack(channel: str, event: str = "subscribe") -> bytes:
    frame = {
        "time": 1619093532,
        "channel": channel,
        "event": event,
        "result": {"status": "success"},
    }
    return json.dumps(frame).encode()


# Frames ------------------------------------------------------------------


def test_frame_says_what_it_must(
    case_frame: bytes, case_said: list[Any], plain: Plain
) -> None:
    said = Dialogue(CHAINS, {}).receive(case_frame, NOW_NS)

    assert plain(said) == case_said


def test_refusal_may_have_null_for_its_result() -> None:
    chain = Chain("NOPE_USDT", "depth:100ms")
    dialogue = Dialogue([chain], {})
    (request,) = dialogue.open(NOW_NS)
    frame = json.loads(refusal(request, 2, "unknown currency pair: NOPE_USDT"))

    said = dialogue.receive(json.dumps({**frame, "result": None}).encode(), NOW_NS)

    assert said == [Refused(chains=(chain,), reason="unknown currency pair: NOPE_USDT")]


def test_depth_at_the_other_speed_has_its_stream_and_limit() -> None:
    dialogue = Dialogue([Chain("BTC_USDT", "depth:20ms")], {})
    frame = (
        b'{"time":1,"channel":"spot.order_book_update","event":"update","result":'
        b'{"t":1,"s":"BTC_USDT","U":1,"u":1,"b":[],"a":[],"l":"20"}}'
    )

    (update,) = dialogue.receive(frame, NOW_NS)

    assert (update.stream, update.depth_limit) == ("depth:20ms", 20)


def test_rows_share_the_market_as_it_was_asked_for() -> None:
    market = "".join(["NEO", "_BTC"])
    dialogue = Dialogue([Chain(market, "depth:100ms")], {})
    frame = (
        b'{"channel":"spot.order_book_update","event":"update","result":'
        b'{"t":1,"s":"NEO_BTC","U":1,"u":1,"b":[],"a":[]}}'
    )

    (update,) = dialogue.receive(frame, NOW_NS)

    assert update.market is market


def side(start: int, count: int, amount: str = "1") -> list[list[str]]:
    return [[str(start + step), amount] for step in range(count)]


@pytest.mark.parametrize(
    ("bids", "asks", "is_whole"),
    [
        # The shapes of the six first pushes of the recording of 2021.
        (side(1, 35), side(100, 38), True),
        (side(1, 100), side(200, 100), True),
        (side(1, 3), side(100, 1), True),
        (side(1, 1), side(100, 3), True),
        (side(1, 11), [], True),
        ([], side(1, 11), True),
        # What one change does: a level, and one that it pushes out or lets in.
        ([], [], False),
        (side(1, 1), [], False),
        ([], side(1, 1) + side(2, 1, "0"), False),
        (side(1, 2), [], False),
        # Not to be told apart; as many levels of one side were seen for one id.
        (side(1, 2), side(100, 2), False),
        (side(1, 5), [], False),
        (side(1, 10), [], False),
        # A window removes nothing.
        (side(1, 35) + side(90, 1, "0"), side(100, 38), False),
        (side(1, 35), side(100, 38) + side(900, 1, "0.0000"), False),
        (side(1, 12) + side(90, 1, "0"), [], False),
        # These are no levels, which is not for the feed to judge.
        (side(1, 35), [["200", 1]] * 5, False),
        (side(1, 35), {"levels": side(100, 35)}, False),
    ],
)
def test_levels_that_one_change_cannot_explain_are_the_whole_window(
    bids: Any, asks: Any, is_whole: bool
) -> None:
    dialogue = Dialogue(CHAINS, {})
    row = {"t": 1, "s": "BTC_USDT", "u": 9, "b": bids, "a": asks}

    (one,) = dialogue.receive(depth_push({**row, "U": 9}), NOW_NS)
    (many,) = dialogue.receive(depth_push({**row, "U": 8}), NOW_NS)

    assert (one.first_update_id, one.last_update_id, one.origin) == (9, 9, "live")
    assert json.loads(bytes(one.bids)) == bids
    assert json.loads(bytes(one.asks)) == asks
    assert one.is_snapshot is is_whole
    assert many.is_snapshot is False


@pytest.mark.parametrize(
    ("moment", "ts_event"),
    [
        (0, None),
        (1, 1_000_000),
        (9_223_372_036_854, 9_223_372_036_854_000_000),  # in the year 2262
        (9_223_372_036_855, 9_223_372_036_855_000),  # in April 1970
        (9_223_372_036_854_775, 9_223_372_036_854_775_000),
    ],
)
def test_a_book_time_too_large_for_milliseconds_is_in_microseconds(
    moment: int, ts_event: int | None
) -> None:
    row = {"t": moment, "s": "BTC_USDT", "U": 1, "u": 1, "b": [], "a": []}

    (update,) = Dialogue(CHAINS, {}).receive(depth_push(row), NOW_NS)

    assert update.ts_event == ts_event


def depth_push(row: dict[str, Any]) -> bytes:
    return push("spot.order_book_update", json.dumps(row))


DEPTH = '{"t":1,"s":"BTC_USDT","U":7,"u":9,"b":[],"a":[]}'
TRADE = (
    '{"id":1,"create_time":1,"create_time_ms":"1.5","side":"buy",'
    '"currency_pair":"BTC_USDT","amount":"1","price":"2","range":"1-2"}'
)
KLINE = '{"t":"60","v":"1","c":"1","h":"1","l":"1","o":"1","n":"1m_BTC_USDT"}'
BBO = '{"t":1,"u":1,"s":"BTC_USDT","b":"1","B":"1","a":"1","A":"1"}'
OBU = '{"t":1,"s":"ob.BTC_USDT.400","U":7,"u":9,"b":[],"a":[]}'
TOP = '{"t":1,"lastUpdateId":9,"s":"BTC_USDT","bids":[],"asks":[]}'
TICKER = '{"currency_pair":"BTC_USDT","last":"1"}'


def push(channel: str, result: str) -> bytes:
    return (
        f'{{"time":1,"time_ms":1,"channel":"{channel}","event":"update",'
        f'"result":{result}}}'
    ).encode()


@pytest.mark.parametrize(
    ("channel", "result", "old", "new"),
    [
        ("spot.order_book_update", DEPTH, '"U":7', '"U":10'),
        ("spot.order_book_update", DEPTH, '"U":7', '"U":10,"full":true'),
        ("spot.order_book_update", DEPTH, '"U":7', '"U":-7'),
        ("spot.order_book_update", DEPTH, '"U":7,', ""),
        ("spot.order_book_update", DEPTH, '"U":7', '"U":7.5'),
        ("spot.order_book_update", DEPTH, '"U":7', '"U":"7"'),
        ("spot.order_book_update", DEPTH, '"u":9,', ""),
        ("spot.order_book_update", DEPTH, '"u":9', '"u":9223372036854775808'),
        ("spot.order_book_update", DEPTH, '"u":9', '"u":' + "9" * 5000),
        ("spot.order_book_update", DEPTH, '"t":1', '"t":9223372036854776'),
        ("spot.order_book_update", DEPTH, '"t":1', '"t":1e999'),
        ("spot.order_book_update", DEPTH, '"b":[],', '"full":true,'),
        ("spot.order_book_update", DEPTH, '"a":[]', '"full":true'),
        ("spot.order_book_update", DEPTH, '"s":"BTC_USDT"', '"s":7'),
        ("spot.order_book_update", DEPTH, '"a":[]', '"a":[],"full":1'),
        ("spot.order_book_update", DEPTH, '"a":[]', '"a":[' + "[" * 5000),
        ("spot.order_book_update", DEPTH, DEPTH, "7"),
        ("spot.order_book_update", DEPTH, DEPTH, '[[["x"]]]'),
        ("spot.obu", OBU, '"U":7', '"U":10'),
        ("spot.obu", OBU, '"U":7', '"U":10,"full":true'),
        ("spot.obu", OBU, '"U":7,', ""),
        ("spot.obu", OBU, '"U":7', '"full":false'),
        ("spot.obu", OBU, '"u":9', '"u":-9'),
        ("spot.obu", OBU, '"u":9,', ""),
        ("spot.obu", OBU, '"s":"ob.BTC_USDT.400",', ""),
        ("spot.obu", OBU, '"t":1,', ""),
        ("spot.order_book", TOP, '"lastUpdateId":9,', ""),
        ("spot.order_book", TOP, '"lastUpdateId":9', '"lastUpdateId":"9"'),
        ("spot.order_book", TOP, '"s":"BTC_USDT",', ""),
        ("spot.order_book", TOP, '"bids":[],', ""),
        ("spot.order_book", TOP, '"t":1', '"t":-1'),
        ("spot.trades", TRADE, '"id":1', '"id":9223372036854775808'),
        ("spot.trades", TRADE, '"id":1', '"id":-1'),
        ("spot.trades", TRADE, '"1.5"', "1.5"),
        ("spot.trades", TRADE, '"1.5"', '"1e999"'),
        ("spot.trades", TRADE, '"1.5"', '""'),
        ("spot.trades", TRADE, '"buy"', '"Buy"'),
        ("spot.trades", TRADE, '"price":"2"', '"price":2'),
        ("spot.trades", TRADE, '"1-2"', '"1-"'),
        ("spot.trades", TRADE, '"1-2"', '"1-2-3"'),
        ("spot.trades", TRADE, '"1-2"', '"1-\u0662"'),
        ("spot.trades", TRADE, '"1-2"', '"1-9223372036854775808"'),
        ("spot.trades", TRADE, TRADE, f"[{TRADE},7]"),
        ("spot.candlesticks", KLINE, '"60"', '"x"'),
        ("spot.candlesticks", KLINE, '"60"', "60"),
        ("spot.candlesticks", KLINE, '"o":"1",', ""),
        ("spot.book_ticker", BBO, '"u":1,', ""),
        ("spot.book_ticker", BBO, '"b":"1"', '"b":1'),
        ("spot.tickers", TICKER, '"last":"1"', '"last":1'),
        ("spot.system", '{"type":"upgrade"}', '"upgrade"', "7"),
    ],
)
def test_frame_that_does_not_fit_is_a_wire_error(
    channel: str, result: str, old: str, new: str
) -> None:
    dialogue = Dialogue(CHAINS, {})
    assert dialogue.receive(push(channel, result), NOW_NS)
    assert old in result

    with pytest.raises(WireError):
        dialogue.receive(push(channel, result.replace(old, new)), NOW_NS)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"nope",
        b"7",
        b"[]",
        b'{"channel":',
        b'{"channel":"spot.trades"}x',
        b'{"channel":7}',
        b'{"time":"now"}',
        b'{"time_ms":1e999}',
        b'{"id":[]}',
        b'{"error":"no"}',
        b'{"channel":"\xff"}',
        b'{"x":"\xff"}',
        push("spot.order_book_update", DEPTH).replace(b'"a":[]', b'"a":[["\xff","1"]]'),
        b'{"event":"subscribe","result":"success"}',
        b'{"event":"subscribe","result":[[[{}]]]}',
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
    whole = [
        push("spot.order_book_update", DEPTH.replace("[]", '[["1","2"],["3","0"]]')),
        push("spot.obu", OBU.replace("[]", '[["1","2"],["3","0"]]')),
        push("spot.order_book", TOP.replace("[]", '[["1","2"],["3","1"]]')),
        push("spot.trades", TRADE),
        push("spot.candlesticks", KLINE),
        push("spot.book_ticker", BBO),
        push("spot.tickers", TICKER),
        push("spot.system", '{"type":"upgrade","msg":"x","data":{}}'),
        ack(requests[0]),
        refusal(requests[1], 2, "unknown currency pair"),
        refusal(requests[-1], 3, "server error", id=None, payload=None),
    ]

    for _ in range(4):
        _survive(dialogue, data.draw(mutants(whole)))


def _survive(dialogue: Dialogue, frame: bytes) -> None:
    with contextlib.suppress(WireError):
        dialogue.receive(frame, NOW_NS)
    with contextlib.suppress(WireError):
        _keys(frame)


def _keys(frame: bytes) -> tuple[str, ...]:
    return Dialogue(CHAINS, {}).unknown_keys(frame)


# Asking ------------------------------------------------------------------


def test_opening_asks_for_every_chain_in_the_forms_of_the_venue() -> None:
    requests = Dialogue(CHAINS, {}).open(NOW_NS)

    both = ["BTC_USDT", "ETH_USDT"]
    frame = {"time": 1_790_000_000, "event": "subscribe"}
    expected = [
        ("spot.trades", both),
        ("spot.tickers", both),
        ("spot.book_ticker", both),
        (
            "spot.obu",
            [f"ob.{market}.{levels}" for levels in (400, 50) for market in both],
        ),
        ("spot.candlesticks", ["1m", "BTC_USDT"]),
        ("spot.candlesticks", ["1m", "ETH_USDT"]),
        ("spot.candlesticks", ["4h", "BTC_USDT"]),
        ("spot.candlesticks", ["4h", "ETH_USDT"]),
        ("spot.order_book_update", ["BTC_USDT", "100ms"]),
        ("spot.order_book_update", ["ETH_USDT", "100ms"]),
        ("spot.order_book", ["BTC_USDT", "20", "100ms"]),
        ("spot.order_book", ["ETH_USDT", "20", "100ms"]),
    ]
    assert sent(requests) == [
        {**frame, "id": number, "channel": channel, "payload": payload}
        for number, (channel, payload) in enumerate(expected, start=1)
    ]
    assert [chain for request in requests for chain in request.chains] == CHAINS


def test_lists_hold_a_hundred_markets() -> None:
    chains = [Chain(f"M{n}_USDT", "trades") for n in range(205)]

    requests = Dialogue(chains, {}).open(NOW_NS)

    assert [len(frame["payload"]) for frame in sent(requests)] == [100, 100, 5]
    assert [chain for request in requests for chain in request.chains] == chains


def test_later_requests_carry_the_second_of_their_turn() -> None:
    chains = [Chain(f"M{n}_USDT", "depth:100ms") for n in range(250)]

    frames = sent(Dialogue(chains, {}).open(NOW_NS))

    assert [frames[n]["time"] for n in (0, 99, 100, 249)] == [
        1_790_000_000,
        1_790_000_000,
        1_790_000_001,
        1_790_000_002,
    ]


def test_ping_is_the_application_ping() -> None:
    frame = json.loads(Dialogue(CHAINS, {}).ping(NOW_NS))

    assert frame == {"time": 1_790_000_000, "channel": "spot.ping"}


def test_resubscribing_ends_the_subscription_first() -> None:
    dialogue = Dialogue(CHAINS, {})
    dialogue.open(NOW_NS)

    chain = Chain("ETH_USDT", "depth:100ms")
    requests = dialogue.resubscribe(
        [chain, Chain("BTC_USDT", "trades")], NOW_NS + 7 * SECOND_NS
    )

    assert [
        (f["time"], f["channel"], f["event"], f["payload"]) for f in sent(requests)
    ] == [
        (1_790_000_007, "spot.trades", "unsubscribe", ["BTC_USDT"]),
        (1_790_000_007, "spot.trades", "subscribe", ["BTC_USDT"]),
        (1_790_000_007, "spot.order_book_update", "unsubscribe", ["ETH_USDT", "100ms"]),
        (1_790_000_007, "spot.order_book_update", "subscribe", ["ETH_USDT", "100ms"]),
    ]
    assert [request.chains for request in requests] == [
        (),
        (Chain("BTC_USDT", "trades"),),
        (),
        (chain,),
    ]
    assert dialogue.receive(ack(requests[0]), NOW_NS) == []
    assert dialogue.receive(refusal(requests[2], 2, "not subscribed"), NOW_NS) == [
        Unrecognized(error="unsubscribe: not subscribed")
    ]
    assert dialogue.receive(ack(requests[3]), NOW_NS) == [
        Subscribed(chains=(chain,), ts_event=1_790_000_001_234_000_000)
    ]


def test_ids_are_distinct_over_the_life_of_a_connection() -> None:
    dialogue = Dialogue(CHAINS, {})

    requests = dialogue.open(NOW_NS) + dialogue.resubscribe(CHAINS, NOW_NS)

    ids = [frame["id"] for frame in sent(requests)]
    assert sorted(set(ids)) == sorted(ids)


# Answers -----------------------------------------------------------------


def test_short_answers_belong_to_the_oldest_request_of_their_channel() -> None:
    dialogue = Dialogue(CHAINS, {})
    dialogue.open(NOW_NS)
    channel = "spot.order_book_update"

    first = dialogue.receive(short_ack(channel), NOW_NS)
    second = dialogue.receive(short_ack(channel), NOW_NS)
    third = dialogue.receive(short_ack(channel), NOW_NS)

    assert first == [Subscribed(chains=(Chain("BTC_USDT", "depth:100ms"),))]
    assert second == [Subscribed(chains=(Chain("ETH_USDT", "depth:100ms"),))]
    assert isinstance(third[0], Unrecognized)


def test_answers_with_an_id_may_come_in_any_order() -> None:
    dialogue = Dialogue(CHAINS, {})
    requests = dialogue.open(NOW_NS)

    for request in reversed(requests):
        assert dialogue.receive(ack(request, payload=None), NOW_NS) == [
            Subscribed(chains=request.chains, ts_event=1_790_000_001_234_000_000)
        ]


def test_answers_with_a_payload_alone_may_come_in_any_order() -> None:
    dialogue = Dialogue(CHAINS, {})
    requests = dialogue.open(NOW_NS)

    for request in reversed(requests):
        assert dialogue.receive(ack(request, id=None), NOW_NS) == [
            Subscribed(chains=request.chains, ts_event=1_790_000_001_234_000_000)
        ]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 99},
        {"id": "1"},
        {"id": None, "payload": ["BTC_USDT", "ETH_USDT", "X"]},
        {"id": None, "payload": [7]},
        {"id": None, "channel": "spot.nope"},
    ],
)
def test_answer_to_something_else_answers_nothing(changes: dict[str, Any]) -> None:
    dialogue = Dialogue(CHAINS, {})
    requests = dialogue.open(NOW_NS)

    (reply,) = dialogue.receive(ack(requests[0], **changes), NOW_NS)

    assert isinstance(reply, Unrecognized)
    assert dialogue.receive(ack(requests[0]), NOW_NS) == [
        Subscribed(chains=requests[0].chains, ts_event=1_790_000_001_234_000_000)
    ]


def test_answer_with_null_members_and_a_time_of_zero_is_read() -> None:
    dialogue = Dialogue(CHAINS, {})
    dialogue.open(NOW_NS)
    frame = (
        b'{"time":1684930165,"time_ms":0,"id":null,"error":null,"payload":null,'
        b'"channel":"spot.trades","event":"subscribe","result":[{"status":"success"}]}'
    )

    assert dialogue.receive(frame, NOW_NS) == [
        Subscribed(chains=(Chain("BTC_USDT", "trades"), Chain("ETH_USDT", "trades")))
    ]


def test_error_without_an_event_is_told_by_its_id() -> None:
    dialogue = Dialogue(CHAINS, {})
    requests = dialogue.open(NOW_NS)

    said = dialogue.receive(
        refusal(requests[-1], 1, "bad body", event="", channel=""), NOW_NS
    )

    assert said == [Refused(chains=requests[-1].chains, reason="bad body")]


def test_refused_single_market_is_refused_in_the_words_of_the_venue() -> None:
    dialogue = Dialogue([Chain("NOPE_USD", "depth:100ms")], {})
    (request,) = dialogue.open(NOW_NS)

    said = dialogue.receive(refusal(request, 2, "unknown currency pair: NOPE_USD"), 0)

    assert said == [
        Refused(chains=request.chains, reason="unknown currency pair: NOPE_USD")
    ]


def test_failure_without_an_error_is_a_refusal() -> None:
    dialogue = Dialogue([Chain("NOPE_USD", "depth:100ms")], {})
    (request,) = dialogue.open(NOW_NS)

    said = dialogue.receive(ack(request, result={"status": "fail"}), NOW_NS)

    assert said == [Refused(chains=request.chains, reason="status 'fail'")]


@pytest.mark.parametrize("shape", [{}, {"id": None}, {"id": None, "payload": None}])
def test_bad_markets_of_a_list_do_not_take_the_others_with_them(
    shape: dict[str, Any],
) -> None:
    chains = [Chain(f"M{n}_USDT", "trades") for n in range(100)]
    bad = {chains[0], chains[41], chains[42], chains[99]}
    dialogue = Dialogue(chains, {})
    waiting = dialogue.open(NOW_NS)
    subscribed: list[Chain] = []
    refused: dict[Chain, str] = {}
    requests_total = 0

    while waiting:
        request = waiting.pop(0)
        requests_total += 1
        culprits = sorted(bad.intersection(request.chains))
        frame = (
            refusal(request, 2, f"unknown currency pair {culprits[0].market}", **shape)
            if culprits
            else ack(request, **shape)
        )
        for reply in dialogue.receive(frame, NOW_NS):
            if isinstance(reply, Send):
                waiting += reply.requests
            elif isinstance(reply, Subscribed):
                subscribed += reply.chains
            else:
                assert isinstance(reply, Refused)
                refused |= dict.fromkeys(reply.chains, reply.reason)

    assert sorted(subscribed) == sorted(set(chains) - bad)
    assert refused == {c: f"unknown currency pair {c.market}" for c in bad}
    assert requests_total <= 4 * 14 + 1


def test_trouble_of_the_server_is_answered_by_asking_again_with_pauses() -> None:
    dialogue = Dialogue([Chain("A_B", "trades"), Chain("C_D", "trades")], {})
    (request,) = dialogue.open(NOW_NS)
    pong = b'{"channel":"spot.pong"}'
    now_ns = NOW_NS

    for pause_s in (0, 1, 2, 4):
        said = dialogue.receive(refusal(request, 3, "server busy"), now_ns)
        if pause_s:
            assert said == []
            now_ns += pause_s * SECOND_NS
            assert len(dialogue.receive(pong, now_ns - 1)) == 1
            _, *said = dialogue.receive(pong, now_ns)
        ((again,),) = [reply.requests for reply in said]
        assert again.chains == request.chains
        assert json.loads(again.payload)["time"] == now_ns // SECOND_NS
        request = again
    said = dialogue.receive(refusal(request, 3, "server busy"), now_ns)

    assert said == [
        Refused(chains=request.chains, reason="server busy (asked 5 times)")
    ]
    assert dialogue.receive(pong, now_ns + 3600 * SECOND_NS)[1:] == []


def test_a_depth_frame_also_brings_what_is_to_be_asked_again() -> None:
    dialogue = Dialogue(CHAINS, {})
    requests = dialogue.open(NOW_NS)
    (send,) = dialogue.receive(refusal(requests[3], 3, "busy"), NOW_NS)
    dialogue.receive(refusal(send.requests[0], 3, "busy"), NOW_NS)

    frame = push("spot.order_book_update", DEPTH)
    early = dialogue.receive(frame, NOW_NS + SECOND_NS - 1)
    due = dialogue.receive(frame, NOW_NS + SECOND_NS)

    assert len(early) == 1
    assert due[0] == early[0]
    assert due[1].requests[0].chains == requests[3].chains


# Grouping, books, markets ------------------------------------------------


def test_streams_whose_pushes_do_not_name_them_have_their_own_connections() -> None:
    streams = {
        "trades": 0,
        "depth:100ms": 0,
        "depth:20ms": 1,
        "depth:obu.400": 0,
        "depth:obu.50": 0,
        "depth:top.5": 0,
        "depth:top.20": 1,
        "depth:top.100": 2,
    }

    groups = SOURCE.plan([Chain(m, s) for s in streams for m in ("A_B", "C_D")])

    for number, group in enumerate(groups):
        mine = [stream for stream, place in streams.items() if place == number]
        assert sorted(group) == sorted(
            Chain(m, s) for s in mine for m in ("A_B", "C_D")
        )
        Dialogue(group, {})
    assert len(groups) == 3
    with pytest.raises(ValueError, match="two depth streams"):
        Dialogue([Chain("A_B", "depth:top.5"), Chain("C_D", "depth:top.20")], {})


def test_each_depth_speed_has_its_own_connection() -> None:
    chains = [
        Chain("A_B", "depth:20ms"),
        Chain("A_B", "trades"),
        Chain("C_D", "depth:100ms"),
        Chain("C_D", "depth:20ms"),
        Chain("C_D", "klines:1m"),
    ]

    assert SOURCE.plan(chains) == [
        (chains[1], chains[4], chains[0], chains[3]),
        (chains[2],),
    ]
    with pytest.raises(ValueError, match="two depth streams"):
        Dialogue(chains, {})


def test_thousands_of_markets_share_a_connection() -> None:
    chains = [Chain(f"M{n}_USDT", "depth:100ms") for n in range(2500)]

    assert SOURCE.plan(chains) == [tuple(chains)]


@pytest.mark.parametrize(("parameter", "levels"), [("100ms", 100), ("20ms", 20)])
def test_snapshot_is_as_deep_as_the_stream(parameter: str, levels: int) -> None:
    chain = Chain("BTC_USDT", f"depth:{parameter}")
    assert SOURCE.snapshot is not None

    request = SOURCE.snapshot.request(chain, {})
    body = b'{"id":7,"current":1649769789574,"update":1,"asks":[["2","1"]],"bids":[]}'
    book = SOURCE.snapshot.decode(chain, body)

    assert request.path == "/spot/order_book"
    assert dict(request.query) == {
        "currency_pair": "BTC_USDT",
        "limit": str(levels),
        "interval": "0",
        "with_id": "true",
    }
    assert SOURCE.book_rule(chain.stream) == BookRule(
        has_ids=True, snapshot="rest", depth_limit=levels
    )
    assert (book.market, book.stream, book.depth_limit) == (*chain, levels)
    assert (book.is_snapshot, book.origin) == (True, "rest")
    assert (book.first_update_id, book.last_update_id) == (None, 7)
    assert book.ts_event == 1_649_769_789_574_000_000
    assert (bytes(book.asks), bytes(book.bids)) == (b'[["2","1"]]', b"[]")


@pytest.mark.parametrize(
    ("parameter", "snapshot", "levels"),
    [
        ("obu.400", "in_band", 400),
        ("obu.50", "in_band", 50),
        ("top.5", "each", 5),
        ("top.100", "each", 100),
    ],
)
def test_other_books_come_on_the_socket(
    parameter: str, snapshot: str, levels: int
) -> None:
    assert SOURCE.book_rule(f"depth:{parameter}") == BookRule(
        has_ids=True, snapshot=snapshot, depth_limit=levels
    )


def test_order_book_streams_are_ended_and_asked_for_one_by_one() -> None:
    dialogue = Dialogue(CHAINS, {})
    dialogue.open(NOW_NS)
    chain = Chain("ETH_USDT", "depth:obu.50")

    requests = dialogue.resubscribe([chain], NOW_NS)

    assert [(f["channel"], f["event"], f["payload"]) for f in sent(requests)] == [
        ("spot.obu", "unsubscribe", ["ob.ETH_USDT.50"]),
        ("spot.obu", "subscribe", ["ob.ETH_USDT.50"]),
    ]
    assert [request.chains for request in requests] == [(), (chain,)]


def test_order_book_streams_are_asked_for_fifty_at_a_time() -> None:
    chains = [Chain(f"M{n}_USDT", "depth:obu.400") for n in range(120)]

    requests = Dialogue(chains, {}).open(NOW_NS)

    assert [len(frame["payload"]) for frame in sent(requests)] == [50, 50, 20]
    assert [chain for request in requests for chain in request.chains] == chains


def test_a_stream_that_is_subscribed_already_is_not_refused() -> None:
    chains = [Chain("A_B", "depth:obu.50"), Chain("C_D", "depth:obu.50")]
    dialogue = Dialogue(chains, {})
    (request,) = dialogue.open(NOW_NS)
    (send,) = dialogue.receive(refusal(request, 2, "Alert sub ob.C_D.50"), NOW_NS)
    first, second = send.requests

    assert dialogue.receive(ack(first), NOW_NS)[0].chains == (chains[0],)
    assert dialogue.receive(refusal(second, 2, "Alert sub ob.C_D.50"), NOW_NS) == [
        Subscribed(chains=(chains[1],), ts_event=None)
    ]


def test_snapshot_of_2021_tells_no_time() -> None:
    assert SOURCE.snapshot is not None

    book = SOURCE.snapshot.decode(
        Chain("BTC_USDT", "depth:100ms"), b'{"id":7,"asks":[],"bids":[["1","2"]]}'
    )

    assert book.ts_event is None
    assert bytes(book.bids) == b'[["1","2"]]'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"label":"INVALID_CURRENCY_PAIR","message":"unknown"}',
        b'{"current":1,"asks":[],"bids":[]}',
        b'{"id":-1,"asks":[],"bids":[]}',
        b'{"id":"1","asks":[],"bids":[]}',
        b'{"id":1,"asks":{},"bids":[]}',
        b'{"id":1,"asks":[],"bids":null}',
        b'{"id":1,"asks":[]}',
        b'{"id":1,"asks":[["\xff","1"]],"bids":[]}',
        b'{"id":1,"current":1.5,"asks":[],"bids":[]}',
    ],
)
def test_snapshot_that_does_not_fit_is_a_wire_error(body: bytes) -> None:
    assert SOURCE.snapshot is not None

    with pytest.raises(WireError):
        SOURCE.snapshot.decode(Chain("BTC_USDT", "depth:100ms"), body)


def test_streams_without_a_book_have_no_book_rule() -> None:
    assert [SOURCE.book_rule(s) for s in ("trades", "klines:1m", "bbo")] == [None] * 3


def test_streams_are_those_of_the_documents() -> None:
    assert canonical_stream(SOURCE, "depth") == "depth:100ms"
    kinds = {kind.name: kind.parameters for kind in SOURCE.streams}
    assert kinds == {
        "trades": (),
        "depth": (
            *("100ms", "20ms", "obu.400", "obu.50"),
            *("top.5", "top.10", "top.20", "top.50", "top.100"),
        ),
        "klines": (
            *("10s", "30s", "1m", "3m", "5m", "15m", "30m", "1h"),
            *("2h", "4h", "6h", "8h", "12h", "1d", "7d", "30d"),
        ),
        "tickers": (),
        "bbo": (),
    }


# Keys not known ----------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "paths"),
    [
        (push("spot.order_book_update", DEPTH), ()),
        (
            push("spot.order_book_update", DEPTH.replace('"t"', '"checksum":1,"t"')),
            ("result.checksum",),
        ),
        (
            push("spot.trades", f'[{TRADE},{{"id":1,"fee":"0"}}]').replace(
                b'"time"', b'"era":2,"time"'
            ),
            ("era", "result.fee"),
        ),
        (push("spot.obu", OBU.replace('"U"', '"full":true,"U"')), ()),
        (push("spot.obu", OBU.replace('"U"', '"l":"400","U"')), ("result.l",)),
        (push("spot.order_book", TOP.replace('"s"', '"l":"20","s"')), ()),
        (push("spot.candlesticks", KLINE), ()),
        (push("spot.book_ticker", BBO), ()),
        (push("spot.tickers", TICKER.replace("last", "lust")), ("result.lust",)),
        (
            push("spot.system", '{"type":"upgrade","msg":"","data":{"x":1},"y":2}'),
            ("result.y",),
        ),
        (push("spot.unheard", '{"x":1}'), ()),
        (
            b'{"event":"subscribe","result":{"status":"success","hint":1},"error":{"q":1}}',
            ("error.q", "result.hint"),
        ),
        (b"[1]", ()),
        (b'{"channel":7,"result":{"x":1}}', ()),
    ],
)
def test_keys_that_are_not_known_are_named(
    frame: bytes, paths: tuple[str, ...]
) -> None:
    assert _keys(frame) == paths


def test_keys_of_what_is_no_json_cannot_be_told() -> None:
    with pytest.raises(WireError):
        _keys(b"{")


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ({"error": {"code": 1, "message": "invalid argument"}}, "invalid argument"),
        (
            {"channel": "spot.x", "error": {"code": 1, "message": "bad"}},
            "spot.x: bad",
        ),
        (
            {"id": 77, "error": {"code": 1, "message": "bad"}},
            "answers nothing that was asked: bad",
        ),
    ],
)
def test_an_error_names_its_channel_only_where_it_has_one(frame, error):
    dialogue = SOURCE.dialogue([Chain("BTC_USDT", "trades")], {})

    [said] = dialogue.receive(json.dumps(frame).encode(), 1)

    assert said == Unrecognized(error=error)
