from decimal import Decimal

from recorder.simulator.book import ASK, BID
from recorder.simulator.contracts import contract_spec
from recorder.simulator.engine import Engine
from recorder.simulator.perpetuals import Perpetual, Perpetuals


START_NS = 1_700_000_000_000_000_000
SECOND_NS = 10**9


def made(seed: int = 1, chance: float = 1.0, empty: tuple[str, ...] = ()) -> Perpetual:
    contract = contract_spec("ETH_USDT")
    engine = Engine(
        [contract.spec],
        seed=seed,
        rates={"ETH_USDT": 20.0},
        start_ns=START_NS,
        warmup_events=400,
        empty=empty,
    )
    return Perpetual(contract, engine.markets["ETH_USDT"], seed=seed, chance=chance)


def lived(perpetual: Perpetual, seconds: int) -> list[object]:
    return [
        one
        for k in range(1, seconds + 1)
        for one in perpetual.second(START_NS + k * SECOND_NS)
    ]


def test_the_same_seed_gives_the_same_life():
    assert lived(made(), 30) == lived(made(), 30)
    assert lived(made(), 30) != lived(made(seed=2), 30)


def test_mark_and_index_stay_near_the_middle_of_the_book():
    perpetual = made()
    lived(perpetual, 60)
    bid = perpetual.market.book.best(BID)
    ask = perpetual.market.book.best(ASK)

    assert bid is not None
    assert ask is not None
    middle = Decimal(bid[0] + ask[0]) / 200
    for price in (perpetual.mark, perpetual.index):
        assert abs(Decimal(perpetual.price_text(price)) - middle) < middle / 1000


def test_each_second_is_in_the_klines_of_the_mark_price():
    perpetual = made()
    prices = []
    for k in range(1, 26):
        perpetual.second(START_NS + k * SECOND_NS)
        prices.append(perpetual.mark)

    rows = list(perpetual.mark_candles.rows(10))
    assert [(r.open_at, r.open, r.close) for r in rows] == [
        (1_700_000_000, prices[0], prices[8]),
        (1_700_000_010, prices[9], prices[18]),
        (1_700_000_020, prices[19], prices[24]),
    ]
    assert rows[1].high == max(prices[9:19])
    assert rows[1].low == min(prices[9:19])
    assert {r.volume for r in rows} == {0}


def test_liquidations_are_told_in_order_and_summed_by_side():
    perpetual = made()
    told = lived(perpetual, 50)
    now_ns = START_NS + 50 * SECOND_NS
    start_s, sums = perpetual.liquidated(60, now_ns)
    mine = [x for x in told if x.ts_ns >= start_s * SECOND_NS]

    assert [x.ts_ns for x in told] == sorted(x.ts_ns for x in told)
    assert start_s == 1_700_000_040
    assert 0 < len(mine) < len(told)
    assert sums.long == -sum(x.lots for x in mine if x.lots < 0)
    assert sums.short == sum(x.lots for x in mine if x.lots > 0)
    assert sums.long_turnover == -sum(x.lots * x.price for x in mine if x.lots < 0)
    assert sums.short_turnover == sum(x.lots * x.price for x in mine if x.lots > 0)


def test_without_chance_nothing_is_liquidated():
    assert lived(made(chance=0.0), 20) == []


def test_a_contract_that_nobody_trades_has_prices_but_no_liquidations():
    perpetual = made(empty=("ETH_USDT",))

    assert lived(perpetual, 20) == []
    assert abs(perpetual.mark - 10 * perpetual.contract.spec.start_price) < 300
    assert perpetual.market.book.best(BID) is None


def test_funding_is_paid_at_whole_intervals():
    assert made().funding_apply_s(START_NS) == 1_700_006_400


def test_a_second_passes_for_all_contracts_but_not_twice():
    one = made()
    perpetuals = Perpetuals({"ETH_USDT": one})
    found = [perpetuals.advance(START_NS + k * SECOND_NS // 10) for k in range(30)]

    assert [k for k, told in enumerate(found) if told] == [0, 10, 20]
    assert len(one.mark_candles.rows(10)) == 1
