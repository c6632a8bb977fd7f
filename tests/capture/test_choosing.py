"""Patterns stand for the markets of a venue's list that are like them."""

import pytest

from recorder.capture.choosing import choose, is_pattern
from recorder.model import Market


def listed(*names, status="tradable"):
    return [
        Market(market=name, kind="spot", payload="{}", status=status) for name in names
    ]


LIST = [
    *listed("BTC_USDT", "ETH_USDT", "ETH3L_USDT", "BTC_USDC"),
    *listed("OLD_USDT", "OLD_BTC", status="untradable"),
    *listed("GT_USDT"),
]


def chosen(*wanted):
    return choose(wanted, LIST, lambda market: market.status == "tradable")


@pytest.mark.parametrize(
    ("wanted", "markets"),
    [
        (["*_USDT"], ("BTC_USDT", "ETH_USDT", "ETH3L_USDT", "GT_USDT")),
        (["*_USDT", "!*3?_USDT"], ("BTC_USDT", "ETH_USDT", "GT_USDT")),
        (["!*3?_USDT", "*_USDT"], ("BTC_USDT", "ETH_USDT", "GT_USDT")),
        (["GT_USDT", "*_USDT"], ("GT_USDT", "BTC_USDT", "ETH_USDT", "ETH3L_USDT")),
        (["*_USDC", "BTC_*"], ("BTC_USDC", "BTC_USDT")),
        (["[BE]T?_USDT"], ("BTC_USDT", "ETH_USDT")),
        (["*_usdt"], ()),
        (["*", "!*"], ()),
    ],
)
def test_a_pattern_finds_what_is_like_it_once_in_the_order_of_the_list(wanted, markets):
    assert chosen(*wanted).markets == markets


def test_markets_that_are_not_traded_are_left_out_and_named():
    choice = chosen("OLD_*", "*_USDT")

    assert "OLD_USDT" not in choice.markets
    assert choice.untraded == ("OLD_USDT", "OLD_BTC")


def test_a_market_that_is_named_is_taken_whatever_the_list_says():
    choice = chosen("OLD_USDT", "NEW_USDT", "BTC_USDT", "!BTC_USDT", "OLD_*")

    assert choice.markets == ("OLD_USDT", "NEW_USDT", "BTC_USDT")
    assert choice.untraded == ("OLD_BTC",)


def test_patterns_that_find_nothing_are_named():
    choice = chosen("*_USDT", "*_EUR", "!*_XYZ", "OLD_*", "NEW_USDT")

    assert choice.unmatched == ("*_EUR",)


@pytest.mark.parametrize("text", ["*", "A?B", "[AB]_USDT", "!BTC_USDT"])
def test_what_is_a_pattern(text):
    assert is_pattern(text)


@pytest.mark.parametrize("text", ["BTC_USDT", "A!B", "币安_USDT", "../x", "-"])
def test_what_is_a_name(text):
    assert not is_pattern(text)
