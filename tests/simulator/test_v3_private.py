"""The private side of v3 over real sockets, judged by an independent client.

What it needs of a signature is made with the standard library, and held to
the test vector of the documents.
"""

import base64
import hashlib
import hmac
from decimal import Decimal
from typing import Any

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


SUCCESS = {"status": "success"}
MS_NS = 10**6
NONCE = 1583131539528
SIGNATURE = (
    "54613ee7f4236bf61bfaed71f10bc0cb8b24805c45822652f850812c9a43b242"
    "2cf84609197ccf5db7adaf5c6af5d143cf04646c2640ad89a7c89670b403b671"
)
"""Of that nonce and the secret ``secret``, as the documents have it."""
ORDER_KEYS = {
    "id",
    "market",
    "user",
    "ctime",
    "mtime",
    "price",
    "amount",
    "left",
    "dealFee",
    "orderType",
    "type",
    "filledAmount",
    "filledTotal",
}


class Clock:
    """Stands at the instant of the documents' test vector."""

    def __init__(self) -> None:
        self.ns = NONCE * MS_NS

    def now_ns(self) -> int:
        return self.ns


def exchange_of(
    *faults: str, clock: Clock | None = None, **settings: object
) -> Exchange:
    usual = {
        "rate": 0.0,
        "markets": ("BTC_USDT", "GT_USDT"),
        "account_seconds": 0.01,
        "log_frames": True,
        "v3_keys": ("key", "secret"),
        "v3_apiv4_keys": ("key4", "secret"),
        "faults": tuple(parse(text) for text in faults),
    }
    return Exchange(Settings(**(usual | settings)), clock=clock)


def sign(nonce: int, secret: str = "secret") -> str:
    digest = hmac.new(secret.encode(), str(nonce).encode(), hashlib.sha512).digest()
    return base64.b64encode(digest).decode()


async def signed(connect, exchange: Exchange):
    """Connect, and show the right keys."""
    client = await connect(exchange.ws_url_v3)
    nonce = exchange._clock.now_ns() // MS_NS
    answer = await client.ask("server.sign", "key", sign(nonce), nonce)
    assert answer == {"error": None, "result": SUCCESS, "id": 5}
    return client


async def ask(client, method: str, params: Any) -> dict[str, Any]:
    await client.send(id=8, method=method, params=params)
    return await client.until(lambda f: f.get("id") == 8)


async def test_the_signature_of_the_documents_is_accepted(connect):
    async with exchange_of(clock=Clock()) as exchange:
        client = await connect(exchange.ws_url_v3_apiv4)
        answer = await client.ask("server.sign", "key4", SIGNATURE, NONCE)
        orders = await client.ask("order.query", "BTC_USDT", 0, 10, number=6)
        old = await connect(exchange.ws_url_v3)
        in_base64 = base64.b64encode(bytes.fromhex(SIGNATURE)).decode()
        other = await old.ask("server.sign", "key", in_base64, NONCE)

    assert exchange.ws_url_v3_apiv4.endswith("/v4/")
    assert answer["result"] == other["result"] == SUCCESS
    assert orders["error"] is None


@pytest.mark.parametrize(
    ("path", "key", "signature", "off_ms"),
    [
        ("v3", "key5", sign(NONCE), 0),
        ("v3", "key", sign(NONCE, "secrets"), 0),
        ("v3", "key", sign(NONCE + 1), 0),
        ("v3", "key", SIGNATURE, 0),  # as of APIv4 keys
        ("v4", "key4", sign(NONCE), 0),  # as of v3 keys
        ("v3", "key4", sign(NONCE), 0),
        ("v4", "key", SIGNATURE, 0),
        ("v3", "key", sign(NONCE), 60_001),  # our clock is off
        ("v3", "key", sign(NONCE), -60_001),
    ],
)
async def test_wrong_keys_fail(
    connect, path: str, key: str, signature: str, off_ms: int
):
    clock = Clock()
    clock.ns += off_ms * MS_NS
    async with exchange_of(clock=clock) as exchange:
        url = exchange.ws_url_v3 if path == "v3" else exchange.ws_url_v3_apiv4
        client = await connect(url)
        answer = await client.ask("server.sign", key, signature, NONCE)
        asked = await client.ask("balance.query", number=6)

    assert answer["error"] == {"code": 11, "message": "Authentication fail."}
    assert answer["result"] is None
    assert asked["error"]["code"] == 6


@pytest.mark.parametrize(
    "method",
    [
        f"{kind}.{verb}"
        for kind in ("order", "balance")
        for verb in ("query", "subscribe", "unsubscribe")
    ],
)
async def test_without_keys_nothing_private_is_told(connect, method: str):
    async with exchange_of() as exchange:
        client = await connect(exchange.ws_url_v3)
        answer = await client.ask(method, "BTC_USDT")
        await client.listen(0.05)

    assert answer["error"] == {"code": 6, "message": "require authentication"}
    assert len(client.frames) == 1


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("server.sign", ["key", "x"]),
        ("server.sign", ["key", "x", "1"]),
        ("server.sign", None),
        ("order.query", ["BTC_USDT", 0]),
        ("order.query", ["X_Y", 0, 10]),
        ("order.query", ["BTC_USDT", -1, 10]),
        ("order.query", ["BTC_USDT", 0, 0]),
        ("order.query", ["BTC_USDT", 0, 101]),
        ("order.subscribe", ["BTC_USDT", "X_Y"]),
        ("order.subscribe", [7]),
        ("balance.query", ["X"]),
        ("balance.subscribe", ["BTC", "X"]),
        ("ticker.query", None),
    ],
)
async def test_what_is_not_legal_is_error_1(connect, method: str, params: Any):
    async with exchange_of() as exchange:
        client = await signed(connect, exchange)
        answer = await ask(client, method, params)

    assert answer["error"] == {"code": 1, "message": "invalid argument"}


async def test_a_method_that_is_not_known_is_error_4(connect):
    async with exchange_of() as exchange:
        client = await signed(connect, exchange)
        answer = await client.ask("order.fly", number=6)

    assert answer["error"] == {"code": 4, "message": "method not found"}


async def test_every_change_is_pushed_as_it_was_and_the_truth_has_it(connect):
    async with exchange_of() as exchange:
        client = await signed(connect, exchange)
        exchange.pause()
        await ask(client, "order.subscribe", ["BTC_USDT", "GT_USDT"])
        await ask(client, "balance.subscribe", [])
        skipped = len(exchange.truth.account)
        exchange._is_paused = False
        await client.pushed(60, "order.update", "balance.update")
        exchange.pause()
        await ask(client, "server.ping", [])
        truth = exchange.truth.account[skipped:]
        numbers = [f.n for f in exchange.truth.frames if f.stream == "orders"]

    orders = client.pushes("order.update")
    told = [row for row in truth if row.stream == "orders"]
    assert len(orders) == len(told) == len(numbers)
    for (event, order), row in zip(orders, told, strict=True):
        facts = row.facts
        assert ORDER_KEYS <= order.keys() <= ORDER_KEYS | {"text"}
        assert {1: "put", 2: "update", 3: "finish"}[event] == facts["event"]
        assert {1: "sell", 2: "buy"}[order["type"]] == facts["side"]
        assert {1: "limit", 2: "market"}[order["orderType"]] == facts["order_type"]
        assert order.get("text") == facts["text"]
        assert (order["id"], order["user"]) == (facts["order_id"], facts["user_id"])
        assert order["market"] == row.market
        for key, name in (
            ("price", "price"),
            ("amount", "amount"),
            ("left", "open_amount"),
            ("filledAmount", "filled_amount"),
            ("filledTotal", "filled_total"),
            ("dealFee", "fee"),
        ):
            assert order[key] == facts[name]
        for key, name in (("ctime", "created_at"), ("mtime", "ts_event")):
            assert order[key] == float(Decimal(facts[name]) / 10**9)
    balances = [
        (asset, kept["available"], kept["freeze"])
        for (*parts,) in client.pushes("balance.update")
        for part in parts
        for asset, kept in part.items()
    ]
    assert balances == [
        (row.facts["asset"], row.facts["available"], row.facts["frozen"])
        for row in truth
        if row.stream == "balances"
    ]
    shapes = {
        (len(parts), max(map(len, parts))) for parts in client.pushes("balance.update")
    }
    # One currency; two in two objects; two in one.
    assert shapes == {(1, 1), (2, 1), (1, 2)}


async def test_queries_tell_the_present(connect):
    async with exchange_of(account_orders=23) as exchange:
        client = await signed(connect, exchange)
        exchange.pause()
        pages = [
            (await ask(client, "order.query", ["BTC_USDT", offset, 10]))["result"]
            for offset in (0, 10, 20, 30)
        ]
        every = (await ask(client, "balance.query", []))["result"]
        some = (await ask(client, "balance.query", ["GT"]))["result"]
        own = [order.number for order in exchange.account.open_orders("BTC_USDT")]
        balances = exchange.account.balances()

    assert {page["total"] for page in pages} == {len(own)}
    assert [(page["offset"], page["limit"]) for page in pages] == [
        (0, 10),
        (10, 10),
        (20, 10),
        (30, 10),
    ]
    assert [row["id"] for page in pages for row in page["records"]] == own
    assert every == {
        name: {"available": kept.available, "freeze": kept.freeze}
        for name, kept in balances.items()
    }
    assert some == {"GT": every["GT"]}
    # What it began with is in the truth as well.
    began = [row for row in exchange.truth.account if row.facts["event"] == "start"]
    assert len(began) == 23 + 3


async def test_only_what_was_asked_for_is_pushed_and_a_second_list_replaces(connect):
    async with exchange_of() as exchange:
        client = await signed(connect, exchange)
        await ask(client, "order.subscribe", ["BTC_USDT"])
        await ask(client, "order.subscribe", ["GT_USDT"])
        await ask(client, "balance.subscribe", ["GT"])
        client.frames.clear()
        await client.pushed(10, "order.update", "balance.update")
        markets = {order["market"] for _, order in client.pushes("order.update")}
        assets = {
            asset
            for parts in client.pushes("balance.update")
            for part in parts
            for asset in part
        }

    assert (markets, assets) == ({"GT_USDT"}, {"GT"})


@pytest.mark.parametrize("kind", ["order", "balance"])
async def test_unsubscribing_drops_all_whatever_it_names(connect, kind: str):
    async with exchange_of() as exchange:
        client = await signed(connect, exchange)
        await ask(client, f"{kind}.subscribe", [])
        await client.until(lambda f: f.get("method") == f"{kind}.update")
        await ask(
            client, f"{kind}.unsubscribe", ["GT" if kind[0] == "b" else "GT_USDT"]
        )
        client.frames.clear()
        await client.listen(0.15)

    assert client.frames == []


@pytest.mark.parametrize(
    ("form", "empty", "null"),
    [("both", None, None), ("empty", None, 1), ("null", 1, None)],
)
async def test_what_stands_for_all_can_be_chosen(
    connect, form: str, empty: int | None, null: int | None
):
    async with exchange_of(v3_all=form, account_seconds=0.0) as exchange:
        client = await signed(connect, exchange)
        for method in ("order.subscribe", "balance.subscribe", "balance.query"):
            for params, code in (([], empty), (None, null)):
                answer = await ask(client, method, params)
                assert (answer["error"] or {}).get("code") == code


async def test_faults_hit_the_account_too(connect):
    async with exchange_of("v3_error:code=2") as exchange:
        client = await connect(exchange.ws_url_v3)
        trouble = await client.ask("server.sign", "key", "x", 1)
        client = await signed(connect, exchange)
        exchange.order(parse("v3_drop:stream=orders"))
        exchange.order(parse("v3_malformed:stream=balances"))
        await ask(client, "order.subscribe", [])
        await ask(client, "balance.subscribe", [])
        await client.pushed(5, "order.update", "balance.update")
        exchange.order(parse("v3_abort"))

        assert await client.ended() == 1006
        assert trouble["error"] == {"code": 2, "message": "internal error"}
        hit = [(f.name, f.stream) for f in exchange.truth.faults]
        assert sorted(hit, key=str) == [
            ("v3_abort", None),
            ("v3_drop", "orders"),
            ("v3_error", None),
            ("v3_malformed", "balances"),
        ]
        assert len(client.bad) == 1
        assert "balance.update" in client.bad[0]


async def test_the_formats_of_late_servers_hold_here_too(connect):
    async with exchange_of(v3_late=True) as exchange:
        client = await signed(connect, exchange)
        await ask(client, "order.subscribe", [])
        push = await client.until(lambda f: f.get("method") == "order.update")

    assert push["v"] == 3
