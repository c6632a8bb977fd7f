"""What the exchange tells of the past: whole, bounded, late or not at all."""

import pytest

from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


TRADES = "/spot/trades"
POINTS = "/spot/candlesticks"
CONTRACT = "/futures/usdt/trades"
CONTRACT_POINTS = "/futures/usdt/candlesticks"
BTC = {"currency_pair": "BTC_USDT"}


async def ids(get, exchange, path=TRADES, **query):
    status, rows = await get(exchange.rest_url, path, **query)
    assert status == 200, rows
    return [int(row["id"]) for row in rows]


async def test_pages_of_a_range_lie_beside_one_another(get):
    async with Exchange(Settings(rate=0.0)) as exchange:
        trades = exchange.truth.trades_of("BTC_USDT")[-100:]
        first, last = trades[0].ts_ns // 10**9, trades[-1].ts_ns // 10**9
        span = BTC | {"from": str(first), "to": str(last), "limit": "30"}
        told = []
        for page in ("1", "2", "3", "4", "5"):
            told += await ids(get, exchange, **span, page=page)

        inside = [
            t.trade_id
            for t in exchange.truth.trades_of("BTC_USDT")
            if first <= t.ts_ns // 10**9 <= last
        ]
        assert told == inside[::-1][:150]


async def test_pages_of_a_contract_are_passed_over_by_an_offset(get):
    settings = Settings(rate=0.0, contracts=("BTC_USDT",))
    async with Exchange(settings) as exchange:
        query = {"contract": "BTC_USDT"}
        whole = await ids(get, exchange, CONTRACT, **query, limit="50")
        part = await ids(get, exchange, CONTRACT, **query, limit="20", offset="10")

        assert part == whole[10:30]


async def test_only_so_many_trades_are_told_and_none_so_old(get):
    settings = Settings(rate=0.0, history_trades=40)
    async with Exchange(settings) as exchange:
        newest = [t.trade_id for t in exchange.truth.trades_of("BTC_USDT")][-40:]
        assert await ids(get, exchange, **BTC, limit="1000") == newest[::-1]
        middle = str(newest[10])
        older = await ids(get, exchange, **BTC, last_id=middle, reverse="true")
        assert older == newest[:10][::-1]

    async with Exchange(Settings(rate=0.0, history_seconds=5.0)) as exchange:
        now = exchange.truth.trades_of("BTC_USDT")[-1].ts_ns
        told = await ids(get, exchange, **BTC, limit="1000")
        times = {t.trade_id: t.ts_ns for t in exchange.truth.trades_of("BTC_USDT")}
        assert told
        assert all(times[trade_id] >= now - 6 * 10**9 for trade_id in told)


@pytest.mark.parametrize(
    ("path", "query", "words"),
    [
        (POINTS, {"from": "FROM-1000", "to": "FROM"}, "range too broad"),
        (POINTS, {"from": "FROM-10001", "to": "FROM-9900"}, "too long ago"),
        (POINTS, {"from": "FROM-5", "limit": "3"}, "Invalid limit"),
        (POINTS, {"limit": "1001"}, "Invalid limit"),
        (CONTRACT_POINTS, {"from": "FROM-2000", "to": "FROM"}, "range too broad"),
        (TRADES, {"page": "0"}, "Invalid page"),
        (TRADES, {"page": "200", "limit": "1000"}, "Invalid page"),
    ],
)
async def test_what_cannot_be_told_is_refused(get, path, query, words):
    settings = Settings(rate=0.0, contracts=("BTC_USDT",))
    async with Exchange(settings) as exchange:
        now = exchange.truth.trades_of("BTC_USDT")[-1].ts_ns // 10**9 // 10 * 10
        asked = {"interval": "10s", "currency_pair": "BTC_USDT", "contract": "BTC_USDT"}
        for key, text in query.items():
            back = text.partition("-")[2] or "0"
            asked[key] = str(now - 10 * int(back)) if "FROM" in text else text
        status, refusal = await get(exchange.rest_url, path, **asked)

        assert status == 400
        assert refusal["label"] == "INVALID_PARAM_VALUE"
        assert words in refusal["message"]


@pytest.mark.parametrize("kind", ["", "mark_", "index_"])
async def test_candlesticks_of_a_contract_have_no_closed_flag(get, kind):
    settings = Settings(rate=50.0, contracts=("BTC_USDT",))
    async with Exchange(settings) as exchange:
        query = {"contract": f"{kind}BTC_USDT", "interval": "10s", "limit": "5"}
        rows = []
        while not rows:  # prices are set once a second
            _, rows = await get(exchange.rest_url, CONTRACT_POINTS, **query)

        assert {frozenset(row) for row in rows} == {frozenset("tvchlo")}
        assert all(row["t"] % 10 == 0 for row in rows)


async def test_history_may_come_late_or_in_halves(get, http):
    faults = (parse("stale_history:seconds=20"), parse("http_garbled"))
    async with Exchange(Settings(rate=0.0, faults=faults)) as exchange:
        async with http.get(f"{exchange.rest_url}{TRADES}", params=BTC) as answer:
            assert answer.status == 200
            assert await answer.read() == b'[{"id": "12'
        whole = [t.trade_id for t in exchange.truth.trades_of("BTC_USDT")]
        late = await ids(get, exchange, **BTC)
        assert late[0] < whole[-1]
        assert (await ids(get, exchange, **BTC))[0] == whole[-1]
        names = [fault.name for fault in exchange.truth.faults]
        assert names == ["http_garbled", "stale_history"]
