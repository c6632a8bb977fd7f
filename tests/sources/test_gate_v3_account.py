"""Our own account on Gate's v3: keys first, then what there is, then what changes."""

import json  # noqa: TID251 - tests judge the decoders, so they use another
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import pytest

from recorder.errors import WireError
from recorder.model import NO_MARKET, Balance, Chain, Order
from recorder.source import (
    Heartbeat,
    Refused,
    Request,
    Secrets,
    Send,
    Subscribed,
    Unrecognized,
)
from recorder.sources._gate_v3_account import (
    LISTINGS_MAX,
    PAGE_ORDERS,
    REFRESH_NS,
    AccountDialogue,
    sign_of,
)
from recorder.sources.gate_v3 import SOURCE, plan


SECOND_NS = 10**9
NOW_NS = 1_583_131_539_528_123_456
SIGNATURE = (
    "54613ee7f4236bf61bfaed71f10bc0cb8b24805c45822652f850812c9a43b242"
    "2cf84609197ccf5db7adaf5c6af5d143cf04646c2640ad89a7c89670b403b671"
)
"""Of nonce 1583131539528 and secret ``secret``, as the documents have it."""

EOS = Chain("EOS_USDT", "orders")
BTC = Chain("BTC_USDT", "orders")
BALANCES = Chain(NO_MARKET, "balances")

ORDER = {
    "id": 796563387,
    "market": "EOS_USDT",
    "user": 1336974,
    "ctime": 1527082744.51649,
    "mtime": 1527082745.5164912,
    "price": "0.1",
    "amount": "100",
    "left": "60",
    "dealFee": "0.08",
    "orderType": 1,
    "type": 2,
    "filledAmount": "40",
    "filledTotal": "4",
}
STORED = Order(
    market="EOS_USDT",
    ts_event=1527082745516491200,
    order_id=796563387,
    event="put",
    side="buy",
    created_at=1527082744516490000,
    user_id=1336974,
    order_type="limit",
    price="0.1",
    amount="100",
    open_amount="60",
    filled_amount="40",
    filled_total="4",
    fee="0.08",
)


class Venue:
    """The other end: answers what the dialogue asks."""

    def __init__(self, *chains: Chain, keys: str = "v3") -> None:
        self.secrets = Secrets({"key": "key", "secret": "secret"})
        self.dialogue = AccountDialogue(chains, {"keys": keys}, self.secrets)
        self.now_ns = NOW_NS
        self.asked: list[Request] = list(self.dialogue.open(self.now_ns))

    def take(self, method: str) -> list[Any]:
        """Take the oldest request away, which must be of that method."""
        frame: dict[str, Any] = json.loads(self.asked.pop(0).payload)
        assert frame["method"] == method
        return [frame["id"], frame["params"]]

    def say(self, frame: dict[str, Any]) -> list[Any]:
        """Have the dialogue receive a frame; return what is not to be sent."""
        said = self.dialogue.receive(json.dumps(frame).encode(), self.now_ns)
        for reply in said:
            if isinstance(reply, Send):
                self.asked += reply.requests
        return [reply for reply in said if not isinstance(reply, Send)]

    def answer(
        self, method: str, result: object = None, code: int | None = None
    ) -> list[Any]:
        """Answer the oldest request, which must be of that method."""
        number, _ = self.take(method)
        error = None if code is None else {"code": code, "message": f"words {code}"}
        if result is None and code is None:
            result = {"status": "success"}
        return self.say({"error": error, "result": result, "id": number})

    def sign_in(self) -> None:
        """Answer all until how the account stands is asked for."""
        self.answer("server.sign")
        while self.asked and b".subscribe" in self.asked[0].payload:
            number, _ = self.take(json.loads(self.asked[0].payload)["method"])
            self.say({"error": None, "result": {"status": "success"}, "id": number})

    def push(self, event: int, **changes: object) -> list[Any]:
        order = ORDER | changes
        params = [event, order]
        return self.say({"method": "order.update", "params": params, "id": None})


def page(total: int, *ids: int) -> dict[str, Any]:
    """A page of open orders."""
    records = [ORDER | {"id": number} for number in ids]
    return {"limit": PAGE_ORDERS, "offset": 0, "total": total, "records": records}


def listed(said: Sequence[Any]) -> list[tuple[int | None, int | None, int | None]]:
    assert all(isinstance(row, Order) and row.event == "query" for row in said)
    return [(row.order_id, row.position, row.open_orders) for row in said]


# Keys --------------------------------------------------------------------


def test_the_signature_of_the_documents_comes_out() -> None:
    assert sign_of("secret", "1583131539528", keys="v4") == SIGNATURE
    # The same bytes: for v3 keys they are spelled in base64.
    in_base64 = sign_of("secret", "1583131539528", keys="v3")
    assert b64decode(in_base64, validate=True) == bytes.fromhex(SIGNATURE)


@pytest.mark.parametrize(
    ("keys", "signature"),
    [("v4", SIGNATURE), ("v3", sign_of("secret", "1583131539528", keys="v3"))],
)
def test_keys_are_shown_first_and_by_our_clock(keys: str, signature: str) -> None:
    venue = Venue(EOS, BALANCES, keys=keys)

    (request,) = venue.asked
    assert json.loads(request.payload) == {
        "id": 1,
        "method": "server.sign",
        "params": ["key", signature, 1583131539528],
    }
    assert request.is_secret
    assert request.chains == (EOS, BALANCES)
    assert venue.secrets.hide(f"x{signature}x") == "x***x"


def test_nothing_is_asked_for_before_the_keys_are_accepted() -> None:
    venue = Venue(EOS, BALANCES)

    said = venue.answer("server.sign")

    assert said == []
    assert [json.loads(r.payload)["method"] for r in venue.asked] == [
        "order.subscribe",
        "balance.subscribe",
    ]
    assert not any(request.is_secret for request in venue.asked)


@pytest.mark.parametrize("code", [1, 4, 6, 11])
def test_keys_that_are_not_accepted_are_refused_with_what_to_check(code: int) -> None:
    venue = Venue(EOS, BALANCES, keys="v4")

    (refused,) = venue.answer("server.sign", code=code)

    assert refused == Refused(
        chains=(EOS, BALANCES),
        reason=f"the key is not accepted (words {code}): check GATE_API_KEY and "
        "GATE_API_SECRET, whether they are keys of -O keys=v4, and the clock of this "
        "machine",
        is_about_keys=True,
    )
    assert venue.asked == []


@pytest.mark.parametrize("code", [2, 3, 5])
def test_trouble_of_the_server_is_no_word_about_the_keys(code: int) -> None:
    venue = Venue(EOS)
    for pause_s in (0, 1, 2, 4):
        assert venue.answer("server.sign", code=code) == []
        venue.now_ns += pause_s * SECOND_NS
        if pause_s:
            venue.say({"error": None, "result": "pong", "id": 0})
            venue.asked = [r for r in venue.asked if b"server.time" not in r.payload]
        # Each time with the clock as it is then.
        _, _, nonce = json.loads(venue.asked[0].payload)["params"]
        assert nonce == venue.now_ns // 10**6

    assert venue.answer("server.sign", code=code) == [
        Refused(chains=(EOS,), reason=f"words {code}")
    ]


def test_each_kind_of_keys_has_its_address() -> None:
    addresses = [SOURCE.ws_url.format_map({"keys": keys}) for keys in ("v3", "v4")]

    assert addresses == ["wss://ws.gate.io/v3/", "wss://ws.gate.io/v4/"]


def test_what_needs_keys_has_a_connection_of_its_own() -> None:
    trades, books = Chain("EOS_USDT", "trades"), Chain("EOS_USDT", "depth:30")

    assert plan([EOS, trades, BALANCES, books, BTC]) == [
        (trades, books),
        (EOS, BALANCES, BTC),
    ]
    assert plan([BALANCES]) == [(BALANCES,)]


def test_many_markets_of_orders_are_spread() -> None:
    chains = [Chain(f"A{number}_USDT", "orders") for number in range(600)]

    groups = plan([*chains, BALANCES])

    assert [len(group) for group in groups] == [250, 250, 101]


# Subscribing -------------------------------------------------------------


def test_what_is_accepted_is_asked_for_as_it_stands() -> None:
    venue = Venue(EOS, BTC, BALANCES)
    venue.answer("server.sign")
    assert venue.take("order.subscribe")[1] == ["EOS_USDT", "BTC_USDT"]
    venue.asked.insert(0, venue.dialogue.resubscribe([EOS], NOW_NS)[0])

    said = venue.answer("order.subscribe")

    assert said == [Subscribed(chains=(EOS, BTC))]
    venue.take("balance.subscribe")
    assert venue.take("order.query")[1] == ["EOS_USDT", 0, PAGE_ORDERS]
    assert venue.take("order.query")[1] == ["BTC_USDT", 0, PAGE_ORDERS]
    assert venue.asked == []


def test_an_unknown_market_takes_no_other_with_it() -> None:
    venue = Venue(EOS, BTC)
    venue.answer("server.sign")
    assert venue.answer("order.subscribe", code=1) == []

    assert venue.answer("order.query", page(0)) == []
    assert venue.answer("order.query", code=1) == [
        Refused(chains=(BTC,), reason="words 1")
    ]

    assert venue.take("order.subscribe")[1] == ["EOS_USDT"]


def test_all_balances_are_asked_for_with_an_empty_list_and_then_with_null() -> None:
    venue = Venue(BALANCES)
    venue.answer("server.sign")
    number, params = venue.take("balance.subscribe")
    assert params == []
    error = {"code": 1, "message": "invalid argument"}
    assert venue.say({"error": error, "result": None, "id": number}) == []
    number, params = venue.take("balance.subscribe")
    assert params is None
    success = {"error": None, "result": {"status": "success"}, "id": number}
    assert venue.say(success) == [Subscribed(chains=(BALANCES,))]

    number, params = venue.take("balance.query")
    assert params == []
    assert venue.say({"error": error, "result": None, "id": number}) == []
    number, params = venue.take("balance.query")
    assert params is None
    (row,) = venue.say({"error": None, "result": {"EOS": {}}, "id": number})
    assert row == Balance(asset="EOS", event="query")


def test_balances_that_are_refused_in_both_forms_are_refused() -> None:
    venue = Venue(BALANCES)
    venue.answer("server.sign")
    venue.answer("balance.subscribe", code=1)

    assert venue.answer("balance.subscribe", code=1) == [
        Refused(chains=(BALANCES,), reason="words 1")
    ]


def test_a_stream_started_afresh_is_asked_for_as_it_stands_again() -> None:
    venue = Venue(EOS, BALANCES)
    venue.sign_in()
    venue.asked.clear()

    for ask in (venue.dialogue.resubscribe, venue.dialogue.ask_again):
        venue.asked += ask([EOS], venue.now_ns)
        venue.answer("order.subscribe")
        assert venue.answer("order.query", page(1, 5)) != []
        assert venue.asked == []


# How the account stands --------------------------------------------------


def test_open_orders_are_rows_that_say_they_were_asked_for() -> None:
    venue = Venue(EOS)
    venue.sign_in()
    text = ORDER | {"text": "mine", "type": 1, "orderType": 2}
    result = page(2) | {"records": [ORDER, text]}

    first, second = venue.answer("order.query", result)

    query = {"event": "query", "open_orders": 2}
    assert first == replaced(STORED, position=0, **query)
    assert second == replaced(
        STORED, position=1, text="mine", side="sell", order_type="market", **query
    )


def replaced(order: Order[str], **changes: Any) -> Order[str]:
    fields = {name: getattr(order, name) for name in order.__struct_fields__}
    return Order(**{**fields, **changes})


def test_a_market_without_an_open_order_says_so() -> None:
    venue = Venue(EOS)
    venue.sign_in()

    (row,) = venue.answer("order.query", page(0))

    assert row == Order(
        market="EOS_USDT",
        ts_event=None,
        order_id=None,
        event="none",
        side=None,
        open_orders=0,
    )


def test_an_account_without_a_balance_says_so() -> None:
    venue = Venue(BALANCES)
    venue.sign_in()

    assert venue.answer("balance.query", {}) == [Balance(asset=None, event="none")]


def test_balances_as_documented() -> None:
    venue = Venue(BALANCES)
    venue.sign_in()
    result = {
        "EOS": {"available": "13200.82187609", "freeze": "0"},
        "BTC": {"available": "1", "freeze": "0.5"},
    }

    assert venue.answer("balance.query", result) == [
        Balance(asset="EOS", event="query", available="13200.82187609", frozen="0"),
        Balance(asset="BTC", event="query", available="1", frozen="0.5"),
    ]
    push = {"EOS": {"available": "96.765323611874", "freeze": "11"}}
    assert venue.say({"method": "balance.update", "params": [push], "id": None}) == [
        Balance(asset="EOS", event="update", available="96.765323611874", frozen="11")
    ]


def test_pages_follow_one_another_by_what_they_really_hold() -> None:
    venue = Venue(EOS)
    venue.sign_in()

    said = venue.answer("order.query", page(5, 1, 2))
    number, params = venue.take("order.query")
    assert params == ["EOS_USDT", 2, PAGE_ORDERS]
    said += venue.say({"error": None, "result": page(5, 3, 4, 5), "id": number})

    assert listed(said) == [(n, n - 1, 5) for n in range(1, 6)]
    assert venue.asked == []


@pytest.mark.parametrize("event", [1, 3])
def test_orders_put_or_finished_between_pages_have_them_listed_anew(event: int) -> None:
    venue = Venue(EOS)
    venue.sign_in()
    venue.answer("order.query", page(3, 1, 2))
    venue.push(event)
    venue.answer("order.query", page(3, 4))

    said = venue.answer("order.query", page(3, 2, 4))
    said += venue.answer("order.query", page(3, 5))

    assert listed(said) == [(2, 0, 3), (4, 1, 3), (5, 2, 3)]
    assert venue.asked == []


def test_another_total_on_the_next_page_has_orders_listed_anew() -> None:
    venue = Venue(EOS)
    venue.sign_in()
    venue.answer("order.query", page(3, 1, 2))
    venue.push(2)  # changes none of what is listed
    venue.answer("order.query", page(4, 3, 4))

    assert venue.take("order.query")[1] == ["EOS_USDT", 0, PAGE_ORDERS]


def test_orders_that_never_stand_still_are_told_of() -> None:
    venue = Venue(EOS)
    venue.sign_in()
    said: list[Any] = []
    for _ in range(LISTINGS_MAX):
        venue.answer("order.query", page(2, 1))
        venue.push(1)
        said = venue.answer("order.query", page(2, 2))

    assert said[1:] == [
        Unrecognized(
            error="the open orders of EOS_USDT changed each time they were listed"
        )
    ]
    assert venue.asked == []


def test_a_page_that_says_there_are_more_and_has_none_is_kept() -> None:
    venue = Venue(EOS)
    venue.sign_in()
    venue.answer("order.query", page(3, 1, 2))

    assert venue.answer("order.query", page(3)) == [
        Unrecognized(error="of 3 open orders of EOS_USDT those from 2 on are not told")
    ]


def test_orders_of_another_market_are_no_answer() -> None:
    venue = Venue(EOS)
    venue.sign_in()
    result = page(1) | {"records": [ORDER | {"market": "BTC_USDT"}]}

    with pytest.raises(WireError, match="BTC_USDT"):
        venue.answer("order.query", result)


@pytest.mark.parametrize(
    ("chain", "method", "words"),
    [
        (EOS, "order.query", "open orders of EOS_USDT are not told: words 1"),
        (BALANCES, "balance.query", "balances are not told: words 1"),
    ],
)
def test_what_is_not_told_is_kept_with_the_venues_words(
    chain: Chain, method: str, words: str
) -> None:
    venue = Venue(chain)
    venue.sign_in()
    said: list[Any] = []
    while not said:
        said = venue.answer(method, code=1)

    assert said == [Unrecognized(error=words)]
    assert venue.asked == []


def test_trouble_of_the_server_has_the_same_page_asked_for_again() -> None:
    venue = Venue(EOS)
    venue.sign_in()
    venue.answer("order.query", page(3, 1, 2))

    assert venue.answer("order.query", code=3) == []
    venue.say({"error": None, "result": "pong", "id": 0})

    assert venue.take("order.query")[1] == ["EOS_USDT", 2, PAGE_ORDERS]


def test_how_the_account_stands_is_asked_for_again_and_again() -> None:
    venue = Venue(EOS, BALANCES)
    venue.sign_in()
    venue.asked.clear()
    for _ in range(3):
        venue.now_ns += REFRESH_NS - 1
        venue.push(2)
        assert not [r for r in venue.asked if b".query" in r.payload]
        venue.now_ns += 1
        venue.push(2)
        queries = [r for r in venue.asked if b".query" in r.payload]
        venue.asked.clear()

        methods = [json.loads(request.payload)["method"] for request in queries]
        assert methods == ["order.query", "balance.query"]


# Pushes ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "event"), [(1, "put"), (2, "update"), (3, "finish")]
)
def test_an_order_is_a_row_with_every_documented_field(number: int, event: str) -> None:
    (row,) = Venue(EOS).push(number)

    assert row == replaced(STORED, event=event)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"ftime": 1527082746.5}, {"finished_at": 1527082746500000000}),
        (
            {"mtime": None, "ftime": 1527082746.5},
            {"ts_event": 1527082746500000000, "finished_at": 1527082746500000000},
        ),
        ({"mtime": None}, {"ts_event": None}),
        ({"ctime": 0}, {"created_at": None}),
        ({"type": 1}, {"side": "sell"}),
        ({"orderType": 2}, {"order_type": "market"}),
        ({"orderType": 7}, {"order_type": "7"}),
        ({"orderType": None, "user": None}, {"order_type": None, "user_id": None}),
        ({"price": "", "left": None}, {"price": None, "open_amount": None}),
        ({"price": 0.1, "left": 60}, {"price": "0.1", "open_amount": "60"}),
        ({"text": "t-\u5e01"}, {"text": "t-\u5e01"}),
    ],
)
def test_what_orders_may_lack_or_have_beside(
    changes: dict[str, Any], fields: dict[str, Any]
) -> None:
    (row,) = Venue(EOS).push(1, **changes)

    assert row == replaced(STORED, **fields)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": -1},
        {"market": 7},
        {"type": 3},
        {"type": "buy"},
        {"ctime": "yesterday"},
        {"mtime": -1},
        {"orderType": "limit"},
    ],
)
def test_an_order_that_does_not_fit_is_a_wire_error(changes: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        Venue(EOS).push(1, **changes)


@pytest.mark.parametrize("event", [0, 4, "1", None])
def test_an_event_that_is_not_known_is_a_wire_error(event: Any) -> None:
    with pytest.raises(WireError):
        Venue(EOS).push(event)


def test_what_was_not_asked_for_is_kept() -> None:
    balances = {"method": "balance.update", "params": [{"EOS": {}}], "id": None}

    assert Venue(BALANCES).push(1) == [
        Unrecognized(error="orders of 'EOS_USDT' were not asked for")
    ]
    assert Venue(EOS).say(balances) == [
        Unrecognized(error="balances of 'EOS' were not asked for")
    ]
    assert Venue(EOS).say({"method": "trades.update", "params": [], "id": None}) == [
        Unrecognized(error="not known: method 'trades.update'")
    ]
    assert Venue(EOS).say({"error": None, "result": 1, "id": 99}) == [
        Unrecognized(error="answers nothing that was asked: no error")
    ]


def test_a_pong_is_a_sign_of_life() -> None:
    venue = Venue(EOS)
    assert json.loads(venue.dialogue.ping(NOW_NS))["method"] == "server.ping"

    assert venue.say({"error": None, "result": "pong", "id": 1000}) == [Heartbeat()]


def test_keys_that_are_not_known_are_named() -> None:
    frame = {"method": "order.update", "params": [1, ORDER | {"fee": 1}], "id": None}
    dialogue = Venue(EOS).dialogue

    assert dialogue.unknown_keys(json.dumps(frame).encode()) == ("params.1.fee",)
    frame["params"] = [1, ORDER | {"text": "", "ftime": 1}]
    assert dialogue.unknown_keys(json.dumps(frame).encode()) == ()
