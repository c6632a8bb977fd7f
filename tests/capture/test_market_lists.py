"""A venue's list of markets is asked for until it is had, and chosen from."""

import msgspec
import pytest

from recorder.capture.market_lists import choose_markets
from recorder.capture.plan import plan_capture
from recorder.capture.run import Capture
from recorder.config import CaptureConfig
from recorder.errors import ConfigError, SourceError, ThrottledError, TransportError
from recorder.model import Chain
from recorder.telemetry import (
    MarketListAwaited,
    MarketsChosen,
    MarketsUntraded,
    PatternUnmatched,
)


def body(*names, **statuses):
    rows = [{"id": name, "trade_status": "tradable"} for name in names]
    rows += [{"id": name, "trade_status": status} for name, status in statuses.items()]
    return msgspec.json.encode(rows)


LIST = body("BTC_USDT", "ETH_USDT", "BTC_USDC", OLD_USDT="untradable")


def plan(*markets, **changes):
    facts = {"streams": ("trades", "depth"), "store": "nowhere", **changes}
    return plan_capture(CaptureConfig(source="gate_spot", markets=markets, **facts))


class Venue:
    """Answers with what it is given, one after another; the last for ever."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []
        self.waits = []

    async def fetch(self, address, request):
        self.asked.append((address, request.path))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def sleep(self, seconds):
        self.waits.append(seconds)

    def choose(self, plan, **how):
        return choose_markets(plan, fetch=self.fetch, sleep=self.sleep, **how)


def told(caplog, kind):
    signals = [getattr(record, "signal", None) for record in caplog.records]
    return [signal for signal in signals if isinstance(signal, kind)]


async def test_markets_take_the_place_of_patterns(caplog):
    caplog.set_level("INFO", logger="recorder")
    venue = Venue(LIST)
    wanted = plan("*_USDT", "*_EUR", "XYZ_USDT", rest_url="http://127.0.0.1:1/api")

    settled = await venue.choose(wanted)

    assert settled.chains == tuple(
        Chain(market, stream)
        for stream in ("trades", "depth:100ms")
        for market in ("BTC_USDT", "ETH_USDT", "XYZ_USDT")
    )
    assert venue.asked == [("http://127.0.0.1:1/api", "/spot/currency_pairs")]
    assert told(caplog, MarketsChosen) == [
        MarketsChosen(source="gate_spot", markets=3, listed=4)
    ]
    assert told(caplog, MarketsUntraded) == [
        MarketsUntraded(source="gate_spot", markets=1, such_as="OLD_USDT")
    ]
    assert told(caplog, PatternUnmatched) == [
        PatternUnmatched(source="gate_spot", pattern="*_EUR")
    ]


async def test_a_job_of_patterns_keeps_its_name_whatever_they_find():
    wanted = plan("*_USDT")

    today = await Venue(LIST).choose(wanted)
    tomorrow = await Venue(body("GT_USDT")).choose(wanted)

    assert today.chains != tomorrow.chains
    assert today.job == tomorrow.job == wanted.job
    assert plan("*_USDC").job != wanted.job


async def test_names_need_no_list():
    venue = Venue(TransportError("it is down"))
    wanted = plan("BTC_USDT")

    assert await venue.choose(wanted) is wanted
    assert venue.asked == []


async def test_patterns_that_find_nothing_at_all_are_an_error():
    with pytest.raises(ConfigError) as caught:
        await Venue(LIST).choose(plan("*_EUR", "OLD_*"))

    assert str(caught.value) == (
        "none of the 4 markets that gate_spot lists is traded and like "
        "'*_EUR' or 'OLD_*'; `recorder markets gate_spot` shows them"
    )


async def test_a_list_that_cannot_be_had_is_asked_for_again(caplog):
    venue = Venue(TransportError("it is down"), ThrottledError(7.0), LIST)

    settled = await venue.choose(plan("*_USDT"))

    assert len(settled.chains) == 4
    assert venue.waits == [1.0, 7.0]
    assert [(s.why, s.retry_in_seconds) for s in told(caplog, MarketListAwaited)] == [
        ("it is down", 1.0),
        ("the venue asks to wait 7 s", 7.0),
    ]


async def test_patience_ends_and_the_error_says_what_to_do():
    venue = Venue(TransportError("it is down"))

    with pytest.raises(TransportError) as caught:
        await venue.choose(plan("*_USDT"))

    assert str(caught.value) == (
        "cannot look up markets of gate_spot: it is down; try again when the venue "
        "answers, or name the markets instead of a pattern"
    )
    assert venue.waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]


async def test_who_cannot_be_started_again_waits_for_ever():
    troubles = [TransportError("it is down")] * 200
    venue = Venue(*troubles, b"<html>", LIST)

    settled = await venue.choose(plan("*_USDT"), patience_seconds=None)

    assert len(settled.chains) == 4
    assert len(venue.waits) == 201
    assert max(venue.waits) == 60.0


async def test_what_is_no_list_is_an_error_at_once():
    venue = Venue(b"<html>")

    with pytest.raises(SourceError, match="is no list of markets"):
        await venue.choose(plan("*_USDT"))

    assert venue.waits == []


async def test_more_markets_than_the_venue_allows_connections_are_refused():
    many = body(*(f"M{number}_USDT" for number in range(301)))
    wanted = plan_capture(
        CaptureConfig(
            source="gate_v3", markets=("*",), streams=("klines:1m",), store="nowhere"
        )
    )

    with pytest.raises(ConfigError, match="need 301 connections to gate_v3"):
        await Venue(many).choose(wanted)


def test_a_capture_cannot_begin_before_its_markets_are_chosen(tmp_path):
    wanted = plan("*_USDT", store=tmp_path / "store")

    with pytest.raises(ValueError, match="choose the markets first"):
        Capture(wanted)
    assert not (tmp_path / "store").exists()
