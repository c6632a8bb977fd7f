"""What a run is asked to do; what cannot be is refused with a sentence."""

from pathlib import Path

import msgspec
import pytest

from recorder.config import CaptureConfig, job_name
from recorder.errors import ConfigError


def config(**changes) -> CaptureConfig:
    facts = {
        "source": "fake",
        "markets": ("BTC_USDT", "ETH_USDT"),
        "streams": ("trades",),
        "store": Path("data"),
        **changes,
    }
    return CaptureConfig(**facts)


def test_a_plain_configuration_has_sensible_defaults():
    made = config()

    assert (made.rotate_seconds, made.flush_seconds) == (900.0, 1.0)
    assert (made.stop_after_seconds, made.stop_at_ns, made.job) == (None, None, None)
    assert (made.options, made.is_archiving) == ({}, False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"streams": ()}, "name at least one stream with -s"),
        ({"markets": ("",)}, "'' is not the name of a market"),
        ({"markets": (" BTC",)}, "' BTC' is not the name of a market"),
        ({"markets": ("A\nB",)}, r"'A\nB' is not the name of a market"),
        ({"markets": ("A\x00",)}, "is not the name of a market"),
        ({"markets": ("\udcff",)}, "is not the name of a market"),
        ({"flush_seconds": 0.049}, "--flush must lie between 50ms and 1m"),
        ({"flush_seconds": 60.1}, "--flush must lie between 50ms and 1m"),
        ({"audit_seconds": 0.9}, "--audit must lie between 1s and 7d, or be 'never'"),
        ({"audit_seconds": 604_801.0}, "--audit must lie between 1s and 7d"),
        ({"renew_seconds": 0.9}, "--renew must lie between 1s and 365d"),
        ({"renew_seconds": 31_536_001.0}, "--renew must lie between 1s and 365d"),
        ({"rotate_seconds": 0.9}, "--rotate must lie between 1s and 24h"),
        ({"rotate_seconds": 86_401.0}, "--rotate must lie between 1s and 24h"),
        ({"stop_after_seconds": 0.0}, "--duration must be longer than nothing"),
        ({"job": "  "}, "--job needs a name"),
        ({"job": "a\udcff"}, "--job needs a name that can be printed"),
    ],
)
def test_what_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigError) as caught:
        config(**changes)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    "market", ["BTC_USDT", "../../etc/passwd", "A B", "ümlaut", "x" * 500, "-", "*"]
)
def test_any_name_that_can_be_printed_may_be_a_market(market):
    assert config(markets=(market,)).markets == (market,)


@pytest.mark.parametrize(
    "changes",
    [
        {"flush_seconds": 0.05},
        {"flush_seconds": 60.0},
        {"audit_seconds": 0.0},
        {"audit_seconds": 1.0},
        {"renew_seconds": 1.0},
        {"renew_seconds": 31_536_000.0},
        {"rotate_seconds": 1.0},
        {"rotate_seconds": 86_400.0},
        {"stop_after_seconds": 0.001},
    ],
)
def test_limits_are_legal_themselves(changes):
    (name, value), *_ = changes.items()

    assert getattr(config(**changes), name) == value


def test_a_configuration_does_not_change():
    with pytest.raises(AttributeError):
        config().job = "other"


# The name of a job


def name_of(streams=("trades",), **changes) -> str:
    return job_name(config(**changes), streams)


def test_a_job_may_be_named():
    assert name_of(job="nightly") == "nightly"


def test_the_same_job_has_the_same_name_in_any_order():
    name = name_of()

    assert name.startswith("fake-")
    assert len(name) == len("fake-") + 8
    assert name_of(markets=("ETH_USDT", "BTC_USDT", "ETH_USDT")) == name
    assert name_of(streams=("bbo", "trades")) == name_of(streams=("trades", "bbo"))


@pytest.mark.parametrize(
    "changes",
    [
        {"markets": ("BTC_USDT",)},
        {"streams": ("trades", "bbo")},
        {"options": {"settle": "btc"}},
        {"ws_url": "ws://127.0.0.1:1/"},
        {"source": "other"},
    ],
)
def test_another_job_has_another_name(changes):
    assert name_of(**changes) != name_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"store": Path("elsewhere")},
        {"stop_after_seconds": 60.0},
        {"is_archiving": True},
        {"rotate_seconds": 60.0},
    ],
)
def test_how_long_and_how_it_is_kept_is_no_part_of_a_job(changes):
    assert name_of(**changes) == name_of()


def test_a_configuration_can_be_changed_in_a_copy_only_to_what_is_legal():
    with pytest.raises(ConfigError):
        msgspec.structs.replace(config(), streams=())
