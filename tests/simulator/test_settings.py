import pytest

from recorder.errors import ConfigError
from recorder.simulator.settings import Settings


def test_generated_markets_come_after_the_named_ones():
    settings = Settings(markets=("A_B",), generated_markets=2)

    assert settings.all_markets() == ("A_B", "SIM0001_USDT", "SIM0002_USDT")


def test_quiet_markets_have_no_rate():
    settings = Settings(markets=("A_B", "C_D"), quiet_markets=("C_D",), rate=5)

    assert settings.rates() == {"A_B": 5, "C_D": 0}


def test_an_empty_contract_has_no_rate():
    settings = Settings(
        contracts=("A_USDT", "B_USDT"), empty_contracts=("B_USDT",), rate=5
    )

    assert settings.contract_rates() == {"A_USDT": 5, "B_USDT": 0}


def test_fractions_of_contracts_are_newer_than_2021():
    new, old = [
        Settings(contracts=("ETH_USDT",), wire_era=era).all_contracts()[0]
        for era in ("2026", "2021")
    ]

    assert (new.is_decimal, old.is_decimal) == (True, False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"wire_era": "2019"}, "one of 2021, 2026, not '2019'"),
        ({"markets": ()}, "at least one market"),
        ({"markets": ("A_B", "A_B")}, "each once"),
        ({"markets": ("AB",)}, "BASE_QUOTE"),
        ({"quiet_markets": ("Z_Z",)}, "quiet markets Z_Z"),
        ({"delisted": ("Z_Z",)}, "delisted are Z_Z"),
        ({"rate": -1.0}, "cannot be negative"),
        ({"contracts": ("BTC_EUR",)}, "BASE_USDT, BASE_USD, BASE_USD1, not 'BTC_EUR'"),
        ({"contracts": ("A_USD", "A_USD")}, "a contract twice"),
        ({"empty_contracts": ("A_USD",)}, "empty contracts A_USD"),
        ({"futures_shape": "tree"}, "array, nested, object, not 'tree'"),
        ({"v3_all": "none"}, "one of empty, null, both, not 'none'"),
        ({"step_seconds": 0.0}, "above zero"),
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, object], message: str):
    with pytest.raises(ConfigError, match=message):
        Settings(**given)
