from decimal import Decimal

import pytest

from recorder.errors import ConfigError
from recorder.simulator.contracts import contract_spec
from recorder.simulator.markets import market_spec


def test_what_a_contract_is_settled_in_follows_from_its_name():
    names = ("BTC_USDT", "BTC_USD", "BTC_USD1", "XYZ_USDT", "XYZ_USD")

    assert [contract_spec(name).settle for name in names] == [
        "usdt",
        "btc",
        "usd1",
        "usdt",
        "btc",
    ]


def test_units_of_a_made_up_contract_follow_from_its_name_alone():
    assert contract_spec("XYZ_USDT") == contract_spec("XYZ_USDT")
    assert contract_spec("XYZ_USDT") != contract_spec("XYW_USDT")


@pytest.mark.parametrize("name", ["BTC", "_USDT", "BTC_EUR", " BTC_USDT"])
def test_a_name_that_is_no_contract_is_refused(name: str):
    with pytest.raises(ConfigError, match="BASE_USDT"):
        contract_spec(name)


def test_a_contract_is_not_the_market_of_the_same_name():
    contract, market = contract_spec("BTC_USDT").spec, market_spec("BTC_USDT")

    assert contract.name == market.name
    assert (contract.key, market.key) == ("futures:BTC_USDT", "BTC_USDT")


def test_fractions_can_be_left_out():
    assert contract_spec("ETH_USDT").is_decimal
    assert not contract_spec("ETH_USDT", is_2026=False).is_decimal


def test_contracts_are_worth_their_multiplier():
    # 125 lots of a tenth are 12.5 contracts of 0.01 at 3400.00.
    contract = contract_spec("ETH_USDT")

    assert contract.base_text(125, 125 * 340_000) == "0.125"
    assert contract.quote_text(125, 125 * 340_000) == "425"
    assert contract.base_text(0, 0) == "0"


def test_an_inverse_contract_is_worth_one_unit_of_quote_currency():
    contract = contract_spec("BTC_USD")

    assert contract.quote_text(700, 700 * 500_000) == "700"
    assert Decimal(contract.base_text(700, 700 * 500_000)) == Decimal("0.014")
