import pytest

from recorder.errors import ConfigError
from recorder.simulator.markets import generated_names, market_spec


def test_units_of_a_made_up_market_follow_from_its_name_alone():
    assert market_spec("XYZ_USDT") == market_spec("XYZ_USDT")
    assert market_spec("XYZ_USDT") != market_spec("XYW_USDT")


def test_a_market_splits_into_base_and_quote():
    spec = market_spec("币安人生_USDT")

    assert (spec.base, spec.quote) == ("币安人生", "USDT")


@pytest.mark.parametrize("name", ["", "BTC", "_USDT", "BTC_", " BTC_USDT"])
def test_a_name_that_is_no_pair_is_refused(name: str):
    with pytest.raises(ConfigError, match="BASE_QUOTE"):
        market_spec(name)


def test_generated_names_are_distinct_markets():
    names = generated_names(3)

    assert names == ("SIM0001_USDT", "SIM0002_USDT", "SIM0003_USDT")
    assert [market_spec(name).name for name in names] == list(names)
