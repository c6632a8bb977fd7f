import contextlib
import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from recorder.errors import ConfigError, WireError
from recorder.model import Chain
from recorder.source import (
    NO_SECRETS,
    BookRule,
    Refused,
    Request,
    Send,
    Subscribed,
    Unrecognized,
    canonical_stream,
    resolve_options,
)
from recorder.sources.gate_futures import SOURCE, WITNESSES, Dialogue


NOW_NS = 1_790_000_000_900_000_000
SECOND_NS = 10**9
STREAMS = (
    *("trades", "tickers", "bbo", "liquidations", "depth:obu.400"),
    *("klines:1m", "klines:mark.1m", "klines:index.4h", "contract_stats:1m"),
    *("depth:100ms", "depth:top.20"),
)
BOTH = ["BTC_USDT", "ETH_USDT"]
CHAINS = [Chain(market, stream) for stream in STREAMS for market in BOTH]
OPTIONS = {"settle": "usdt"}

Plain = Callable[[Sequence[Any]], Any]


def dialogue_of(*chains: Chain) -> Dialogue:
    return Dialogue(chains or CHAINS, OPTIONS)


def sent(requests: Sequence[Request]) -> list[dict[str, Any]]:
    return [json.loads(request.payload) for request in requests]


def ack(request: Request, **changes: Any) -> bytes:
    asked = json.loads(request.payload)
    frame = {
        "time": 1790000001,
        "time_ms": 1790000001234,
        "id": asked["id"],
        "channel": asked["channel"],
        "event": asked["event"],
        "payload": asked["payload"],
        "result": {"status": "success"},
        **changes,
    }
    return json.dumps(frame).encode()


def refusal(request: Request, code: int, message: str) -> bytes:
    error = {"code": code, "message": message}
    return ack(request, error=error, result={"status": "fail"})


def push(channel: str, result: str, event: str = "update") -> bytes:
    return (
        f'{{"time":1,"time_ms":1,"channel":"futures.{channel}","event":"{event}",'
        f'"result":{result}}}'
    ).encode()


# Frames ------------------------------------------------------------------


def test_frame_says_what_it_must(
    case_frame: bytes, case_said: list[Any], plain: Plain
) -> None:
    assert plain(dialogue_of().receive(case_frame, NOW_NS)) == case_said


def test_keys_that_no_document_shows_are_told() -> None:
    frame = push("trades", '[{"size":1,"sparkle":1,"is_internal":true}]')

    assert dialogue_of().unknown_keys(frame) == ("result.sparkle",)
    assert dialogue_of().unknown_keys(push("order_book", "[[]]", "all")) == ()


@pytest.mark.parametrize(
    ("stream", "limit"),
    [
        ("depth:100ms", 100),
        ("depth:100ms.50", 50),
        ("depth:100ms.20", 20),
        ("depth:20ms", 20),
    ],
)
def test_an_update_is_of_the_stream_of_its_connection(stream: str, limit: int) -> None:
    dialogue = dialogue_of(Chain("BTC_USDT", stream))
    frame = push("order_book_update", '{"t":1,"s":"BTC_USDT","U":1,"u":1,"l":"20"}')

    (update,) = dialogue.receive(frame, NOW_NS)

    assert (update.stream, update.depth_limit) == (stream, limit)


def levels(start: int, count: int, size: Any = "7") -> list[dict[str, Any]]:
    return [{"p": str(start + step), "s": size} for step in range(count)]


@pytest.mark.parametrize(
    ("bids", "asks", "is_whole"),
    [
        (levels(10, 11), levels(100, 11), True),
        (levels(10, 11, 7), levels(100, 50, 7), True),
        # As many were seen for one change, with levels that did not change.
        (levels(10, 5), [], False),
        (levels(10, 10), levels(100, 10), False),
        (levels(10, 50), levels(100, 10), False),
        (levels(10, 50), [], False),
        # A window removes nothing.
        (levels(10, 50) + levels(90, 1, "0"), levels(100, 50), False),
        (levels(10, 50), levels(100, 50) + levels(900, 1, 0), False),
        (levels(10, 50), levels(100, 50) + levels(900, 1, "0.00"), False),
        # These are no levels, which is not for the feed to judge.
        (levels(10, 50), levels(100, 50, None), False),
        (levels(10, 50), levels(100, 50, []), False),
        (levels(10, 50), [["200", "1"]] * 50, False),
    ],
)
def test_levels_that_one_change_cannot_explain_are_the_whole_window(
    bids: Any, asks: Any, *, is_whole: bool
) -> None:
    row = {"t": 1, "s": "BTC_USDT", "u": 9, "b": bids, "a": asks}

    (one,) = dialogue_of().receive(
        push("order_book_update", json.dumps({**row, "U": 9})), NOW_NS
    )
    (many,) = dialogue_of().receive(
        push("order_book_update", json.dumps({**row, "U": 8})), NOW_NS
    )

    assert json.loads(bytes(one.bids)) == bids
    assert one.is_snapshot is is_whole
    assert many.is_snapshot is False


TRADE = (
    '{"size":"1","id":1,"create_time":1,"create_time_ms":1,"price":"2",'
    '"contract":"BTC_USDT"}'
)
TICKER = '{"contract":"BTC_USDT","last":"1","t":1}'
BBO = '{"t":1,"u":1,"s":"BTC_USDT","b":"1","B":"1","a":"1","A":1}'
KLINE = '{"t":60,"v":1,"c":"1","h":"1","l":"1","o":"1","n":"1m_BTC_USDT","w":true}'
DEPTH = '{"t":1,"s":"BTC_USDT","U":7,"u":9,"b":[],"a":[]}'
TOP = '{"t":1,"id":9,"contract":"BTC_USDT","bids":[],"asks":[]}'
CHANGE = '{"p":"1","s":-2,"c":"BTC_USDT","id":9}'
OBU = '{"t":1,"s":"ob.BTC_USDT.400","U":7,"u":9,"b":[],"a":[]}'
LIQUIDATION = '{"price":"1","size":"1","time_ms":1,"contract":"BTC_USDT"}'
STATS = '{"time":1,"contract":"BTC_USDT","mark_price":"1"}'


@pytest.mark.parametrize(
    ("channel", "result", "old", "new"),
    [
        ("trades", TRADE, '"size":"1"', '"size":"0"'),
        ("trades", TRADE, '"size":"1"', '"size":"-0.00"'),
        ("trades", TRADE, '"size":"1"', '"size":0e9'),
        ("trades", TRADE, '"size":"1"', '"size":""'),
        ("trades", TRADE, '"size":"1"', '"size":null'),
        ("trades", TRADE, '"size":"1"', '"size":true'),
        ("trades", TRADE, '"size":"1",', ""),
        ("trades", TRADE, '"price":"2"', '"price":[]'),
        ("trades", TRADE, '"price":"2"', '"price":"\\ud800"'),
        ("trades", TRADE, '"id":1', '"id":-1'),
        ("trades", TRADE, '"id":1', '"id":9223372036854775808'),
        ("trades", TRADE, '"create_time_ms":1', '"create_time_ms":1e99'),
        ("trades", TRADE, '"create_time_ms":1', '"create_time_ms":"x"'),
        ("trades", TRADE, '"create_time_ms":1', '"create_time_ms":-1'),
        ("trades", TRADE, TRADE, f"[{TRADE},7]"),
        ("trades", TRADE, TRADE, f"[[[{TRADE}]]]"),
        ("tickers", TICKER, '"last":"1"', '"last":false'),
        ("tickers", TICKER, '"t":1', '"t":-1'),
        ("tickers", TICKER, '"contract":"BTC_USDT"', '"contract":7'),
        ("book_ticker", BBO, '"u":1,', ""),
        ("book_ticker", BBO, '"b":"1"', '"b":{}'),
        ("candlesticks", KLINE, '"t":60', '"t":null,"x":1,"t":"x"'),
        ("candlesticks", KLINE, '"o":"1",', ""),
        ("candlesticks", KLINE, '"o":"1"', '"o":""'),
        ("candlesticks", KLINE, '"w":true', '"w":1'),
        ("order_book_update", DEPTH, '"U":7', '"U":10'),
        ("order_book_update", DEPTH, '"U":7,', ""),
        ("order_book_update", DEPTH, '"b":[],', '"full":true,'),
        ("obu", OBU, '"U":7,', ""),
        ("order_book", CHANGE, '"c":"BTC_USDT"', '"c":7'),
        ("public_liquidates", LIQUIDATION, '"price":"1"', '"price":null'),
        ("public_liquidates", LIQUIDATION, '"size":"1",', ""),
        ("public_liquidates", LIQUIDATION, '"time_ms":1', '"time":"soon"'),
        ("contract_stats", STATS, '"mark_price":"1"', '"mark_price":true'),
        ("contract_stats", STATS, '"time":1', '"time":[]'),
    ],
)
def test_frame_that_does_not_fit_is_a_wire_error(
    channel: str, result: str, old: str, new: str
) -> None:
    assert dialogue_of().receive(push(channel, result), NOW_NS)
    assert old in result

    with pytest.raises(WireError):
        dialogue_of().receive(push(channel, result.replace(old, new)), NOW_NS)


@pytest.mark.parametrize(
    ("old", "new"), [('"id":9,', ""), ('"bids":[],', ""), ('"t":1', '"t":"1"')]
)
def test_a_whole_top_that_does_not_fit_is_a_wire_error(old: str, new: str) -> None:
    assert dialogue_of().receive(push("order_book", TOP, "all"), NOW_NS)

    frame = push("order_book", TOP.replace(old, new), "all")
    with pytest.raises(WireError):
        dialogue_of().receive(frame, NOW_NS)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_frames_raise_nothing_but_wire_errors(
    data: st.DataObject, mutants: Callable[[Sequence[bytes]], Any]
) -> None:
    dialogue = dialogue_of()
    requests = dialogue.open(NOW_NS)
    whole = [
        push("order_book_update", DEPTH.replace("[]", '[{"p":"1","s":2}]')),
        push("obu", OBU.replace("[]", '[["1","2"],["3","0"]]')),
        push("order_book", TOP.replace("[]", '[{"p":"1","s":"2"}]'), "all"),
        push("order_book", f"[{CHANGE}]"),
        push("trades", f"[{TRADE}]"),
        push("tickers", f"[[{TICKER}]]"),
        push("candlesticks", f"[{KLINE}]"),
        push("book_ticker", BBO),
        push("public_liquidates", f"[{LIQUIDATION}]"),
        push("contract_stats", STATS),
        push("system", '{"type":"upgrade","msg":"x"}'),
        ack(requests[0]),
        refusal(requests[1], 2, "unknown contract"),
    ]

    for _ in range(4):
        frame = data.draw(mutants(whole))
        with contextlib.suppress(WireError):
            dialogue.receive(frame, NOW_NS)
        with contextlib.suppress(WireError):
            dialogue.unknown_keys(frame)


def test_a_push_of_changes_is_one_message_of_each_contract() -> None:
    """Removals come on both sides, and in their place: none says on which it is."""
    changes = (
        '{"p":"49525.6","s":0,"c":"BTC_USDT","id":7}',
        '{"p":"1.5","s":"2.5","c":"ETH_USDT","id":9}',
        '{"p":"49525.6","s":-3,"c":"BTC_USDT","id":8}',
        '{"p":49525.50,"s":"4","c":"BTC_USDT","id":8}',
        '{"p":"49524","s":"-0.0","c":"BTC_USDT","id":6}',
        '{"p":"1","s":1,"c":"DOGE_USDT","id":3}',
    )

    btc, eth, other = dialogue_of().receive(
        push("order_book", f"[{','.join(changes)}]"), NOW_NS
    )

    assert (btc.market, btc.stream, btc.is_snapshot) == (
        "BTC_USDT",
        "depth:top.20",
        False,
    )
    assert (btc.first_update_id, btc.last_update_id, btc.depth_limit) == (None, 8, 20)
    assert btc.bids == b'[["49525.6","0"],["49525.50","4"],["49524","0.0"]]'
    assert btc.asks == b'[["49525.6","0"],["49525.6","3"],["49524","0.0"]]'
    assert (eth.market, eth.last_update_id, eth.bids, eth.asks) == (
        "ETH_USDT",
        9,
        b'[["1.5","2.5"]]',
        b"[]",
    )
    assert other == Unrecognized(error="depth of 'DOGE_USDT' were not asked for")


@pytest.mark.parametrize(
    "change",
    [
        '{"p":"1","s":1,"id":3}',
        '{"p":"1","c":"BTC_USDT","id":3}',
        '{"p":null,"s":1,"c":"BTC_USDT","id":3}',
        '{"p":"1","s":[],"c":"BTC_USDT","id":3}',
        '{"p":"1","s":1,"c":"BTC_USDT","id":-3}',
    ],
)
def test_a_change_that_does_not_fit_is_an_error(change: str) -> None:
    with pytest.raises(WireError):
        dialogue_of().receive(push("order_book", f"[{change}]"), NOW_NS)


# Asking ------------------------------------------------------------------


def test_opening_asks_for_every_chain_in_the_forms_of_the_venue() -> None:
    requests = dialogue_of().open(NOW_NS)

    frame = {"time": 1_790_000_000, "event": "subscribe"}
    expected = [
        ("trades", BOTH),
        ("tickers", BOTH),
        ("book_ticker", BOTH),
        ("public_liquidates", BOTH),
        ("obu", ["ob.BTC_USDT.400", "ob.ETH_USDT.400"]),
        ("candlesticks", ["1m", "BTC_USDT"]),
        ("candlesticks", ["1m", "ETH_USDT"]),
        ("candlesticks", ["1m", "mark_BTC_USDT"]),
        ("candlesticks", ["1m", "mark_ETH_USDT"]),
        ("candlesticks", ["4h", "index_BTC_USDT"]),
        ("candlesticks", ["4h", "index_ETH_USDT"]),
        ("contract_stats", ["BTC_USDT", "1m"]),
        ("contract_stats", ["ETH_USDT", "1m"]),
        ("order_book_update", ["BTC_USDT", "100ms", "100"]),
        ("order_book_update", ["ETH_USDT", "100ms", "100"]),
        ("order_book", ["BTC_USDT", "20", "0"]),
        ("order_book", ["ETH_USDT", "20", "0"]),
    ]
    assert sent(requests) == [
        {**frame, "id": n, "channel": f"futures.{channel}", "payload": payload}
        for n, (channel, payload) in enumerate(expected, start=1)
    ]
    assert [chain for request in requests for chain in request.chains] == CHAINS


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        ("depth:100ms.50", ["BTC_USDT", "100ms", "50"]),
        ("depth:100ms.20", ["BTC_USDT", "100ms", "20"]),
        ("depth:20ms", ["BTC_USDT", "20ms", "20"]),
        ("depth:top.1", ["BTC_USDT", "1", "0"]),
        ("depth:top.100", ["BTC_USDT", "100", "0"]),
        ("depth:obu.50", ["ob.BTC_USDT.50"]),
    ],
)
def test_books_are_asked_for_with_speed_and_levels(
    stream: str, payload: list[str]
) -> None:
    chain = Chain("BTC_USDT", stream)
    dialogue = dialogue_of(chain)
    (request,) = dialogue.open(NOW_NS)
    end, again = dialogue.resubscribe([chain], NOW_NS)

    assert sent([request])[0]["payload"] == payload
    assert [(f["event"], f["payload"]) for f in sent([end, again])] == [
        ("unsubscribe", payload),
        ("subscribe", payload),
    ]


def test_ping_is_the_application_ping() -> None:
    frame = json.loads(dialogue_of().ping(NOW_NS))

    assert frame == {"time": 1_790_000_000, "channel": "futures.ping"}


def test_an_answer_of_2023_belongs_to_the_oldest_request_of_its_channel() -> None:
    dialogue = dialogue_of()
    dialogue.open(NOW_NS)
    frame = (
        b'{"time":1684930165,"time_ms":0,"channel":"futures.order_book_update",'
        b'"event":"subscribe","result":{"status":"success"}}'
    )

    said = [dialogue.receive(frame, NOW_NS) for _ in range(2)]

    assert said == [
        [Subscribed(chains=(Chain(market, "depth:100ms"),))] for market in BOTH
    ]


@pytest.mark.parametrize("code", [1, 2, 4])
def test_a_refusal_is_for_good(code: int) -> None:
    chain = Chain("NOPE_USDT", "depth:100ms")
    dialogue = dialogue_of(chain)
    (request,) = dialogue.open(NOW_NS)

    said = dialogue.receive(refusal(request, code, "unknown contract"), NOW_NS)

    assert said == [Refused(chains=(chain,), reason="unknown contract")]


def test_trouble_of_the_server_is_answered_by_asking_again() -> None:
    dialogue = dialogue_of(Chain("BTC_USDT", "contract_stats:1d"))
    (request,) = dialogue.open(NOW_NS)

    (said,) = dialogue.receive(refusal(request, 3, "server error"), NOW_NS)

    assert isinstance(said, Send)
    assert sent(said.requests)[0]["payload"] == ["BTC_USDT", "1d"]


# The feed as data --------------------------------------------------------


def test_streams_whose_pushes_do_not_name_them_have_their_own_connections() -> None:
    streams = {
        "trades": 0,
        "klines:1m": 0,
        "klines:mark.1m": 0,
        "depth:100ms": 0,
        "depth:100ms.20": 1,
        "depth:20ms": 2,
        "depth:obu.400": 0,
        "depth:obu.50": 0,
        "depth:top.5": 0,
        "depth:top.20": 1,
        "contract_stats:1m": 0,
        "contract_stats:1d": 1,
    }

    groups = SOURCE.plan([Chain(m, s) for s in streams for m in BOTH])

    assert len(groups) == 3
    for number, group in enumerate(groups):
        mine = [stream for stream, place in streams.items() if place == number]
        assert sorted(group) == sorted(Chain(m, s) for s in mine for m in BOTH)
        Dialogue(group, OPTIONS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("depth:100ms", "depth:100ms.50"),
        ("depth:top.5", "depth:top.20"),
        ("contract_stats:1m", "contract_stats:1d"),
    ],
)
def test_a_connection_cannot_carry_what_it_could_not_tell_apart(
    one: str, other: str
) -> None:
    with pytest.raises(ValueError, match="cannot carry"):
        dialogue_of(Chain("BTC_USDT", one), Chain("ETH_USDT", other))


def test_the_settle_currency_is_part_of_the_address() -> None:
    assert SOURCE.ws_url.format_map(resolve_options(SOURCE, {})).endswith("/ws/usdt")
    assert SOURCE.ws_url.format_map({"settle": "btc"}).endswith("/ws/btc")
    with pytest.raises(ConfigError, match="usdt, btc, usd1"):
        resolve_options(SOURCE, {"settle": "eur"})


def test_sizes_are_asked_for_with_all_digits() -> None:
    assert SOURCE.headers(OPTIONS, NO_SECRETS) == {"X-Gate-Size-Decimal": "1"}


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("depth", "depth:100ms"),
        ("klines:mark.1m", "klines:mark.1m"),
        ("klines:index.7d", "klines:index.7d"),
        ("contract_stats:10s", "contract_stats:10s"),
    ],
)
def test_streams_have_a_canonical_form(typed: str, canonical: str) -> None:
    assert canonical_stream(SOURCE, typed) == canonical


@pytest.mark.parametrize(
    "typed", ["klines:30s", "klines:mark_1m", "contract_stats", "depth:20ms.20"]
)
def test_what_the_venue_does_not_have_is_refused(typed: str) -> None:
    with pytest.raises(ConfigError):
        canonical_stream(SOURCE, typed)


def test_what_is_traded_tells_nothing_of_the_klines_of_other_prices() -> None:
    others = ("klines:mark.1m", "klines:index.1m")
    told = {
        stream: {w.by for w in WITNESSES if w.tells_of(stream)} for stream in others
    }

    assert told == {"klines:mark.1m": {"tickers"}, "klines:index.1m": {"tickers"}}
    assert not any(w.tells_by(s) for w in WITNESSES for s in others)


# Books and markets by HTTP -----------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "levels_a_side"),
    [("100ms", 100), ("100ms.50", 50), ("100ms.20", 20), ("20ms", 20)],
)
def test_snapshot_is_as_deep_as_the_stream(parameter: str, levels_a_side: int) -> None:
    chain = Chain("BTC_USD", f"depth:{parameter}")
    assert SOURCE.snapshot is not None

    request = SOURCE.snapshot.request(chain, {"settle": "btc"})
    book = SOURCE.snapshot.decode(
        chain,
        b'{"current":1684930166.384,"update":1684930166.35,'
        b'"asks":[{"s":803,"p":"0.2974"}],"bids":[],"id":203083287}',
    )

    assert request.path == "/futures/btc/order_book"
    assert dict(request.headers) == {"X-Gate-Size-Decimal": "1"}
    assert dict(request.query) == {
        "contract": "BTC_USD",
        "limit": str(levels_a_side),
        "interval": "0",
        "with_id": "true",
    }
    assert SOURCE.book_rule(chain.stream) == BookRule(
        has_ids=True, snapshot="rest", depth_limit=levels_a_side
    )
    assert (book.market, book.stream, book.depth_limit) == (*chain, levels_a_side)
    assert (book.is_snapshot, book.origin) == (True, "rest")
    assert (book.first_update_id, book.last_update_id) == (None, 203083287)
    assert book.ts_event == 1_684_930_166_384_000_000
    assert (bytes(book.asks), bytes(book.bids)) == (b'[{"s":803,"p":"0.2974"}]', b"[]")


def test_books_of_other_streams_come_on_the_socket() -> None:
    assert SOURCE.book_rule("depth:obu.50") == BookRule(
        has_ids=True, snapshot="in_band", depth_limit=50
    )
    assert SOURCE.book_rule("depth:top.1") == BookRule(
        has_ids=True, snapshot="each", depth_limit=1
    )
    assert SOURCE.book_rule("klines:1m") is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"asks":[],"bids":[]}',
        b'{"id":1,"asks":{},"bids":[]}',
        b'{"id":1,"asks":[]}',
        b'{"id":1,"asks":[],"bids":[],"current":"now"}',
        b'{"id":1,"asks":[],"bids":["\xff"]}',
    ],
)
def test_a_body_that_is_no_book_is_a_wire_error(body: bytes) -> None:
    assert SOURCE.snapshot is not None
    with pytest.raises(WireError):
        SOURCE.snapshot.decode(Chain("BTC_USDT", "depth:100ms"), body)


def contract(**changes: Any) -> bytes:
    row = {
        "name": "ETH_USDT",
        "quanto_multiplier": "0.01",
        "order_price_round": "0.05",
        "order_size_min": "0.1",
        "enable_decimal": True,
        "in_delisting": False,
        "status": "trading",
        "position_size": "12.5",
        **changes,
    }
    return json.dumps([{k: v for k, v in row.items() if v is not ...}]).encode()


def test_contracts_are_listed_with_their_units() -> None:
    rule = SOURCE.market_list
    assert rule is not None

    request = rule.request({"settle": "usd1"})
    (market,) = rule.decode(contract())

    assert request.path == "/futures/usd1/contracts"
    assert dict(request.headers) == {"X-Gate-Size-Decimal": "1"}
    assert (market.market, market.kind, market.status) == (
        *("ETH_USDT", "futures", "trading"),
    )
    assert (market.base, market.quote) == ("ETH", "USDT")
    assert (market.tick_size, market.lot_size, market.multiplier) == (
        *("0.05", "0.1", "0.01"),
    )
    assert json.loads(market.payload) == json.loads(contract())[0]


def test_a_contract_of_2023_has_whole_lots_and_no_status() -> None:
    rule = SOURCE.market_list
    assert rule is not None

    (market,) = rule.decode(
        contract(order_size_min=1, enable_decimal=..., status=..., name="BTC_USD")
    )

    assert (market.status, market.lot_size) == (None, "1")
    assert rule.is_traded(market)


@pytest.mark.parametrize(
    ("changes", "status", "is_traded"),
    [
        ({}, "trading", True),
        ({"status": "prelaunch"}, "prelaunch", False),
        ({"status": "delisted"}, "delisted", False),
        ({"status": "delisting", "in_delisting": True}, "delisting", True),
        ({"status": ..., "in_delisting": True}, "in_delisting", True),
        (
            {"status": ..., "in_delisting": True, "position_size": 0},
            *("in_delisting", False),
        ),
        (
            {"status": ..., "in_delisting": True, "position_size": ...},
            *("in_delisting", False),
        ),
    ],
)
def test_a_contract_in_delisting_is_traded_while_it_is_held(
    changes: dict[str, Any], status: str, *, is_traded: bool
) -> None:
    rule = SOURCE.market_list
    assert rule is not None

    (market,) = rule.decode(contract(**changes))

    assert market.status == status
    assert rule.is_traded(market) is is_traded
