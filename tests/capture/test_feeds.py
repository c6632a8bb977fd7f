"""What a configuration file names is checked against the feeds there are."""

from pathlib import Path

import msgspec
import pytest

from recorder.capture.feeds import plan_feeds, variables_of
from recorder.cli.example import example_file
from recorder.config_file import FileTable, SourceTable
from recorder.errors import ConfigError
from recorder.model import Chain
from recorder.source import Option, Secret, StreamKind
from recorder.sources import load, names


STATUS = StreamKind(name="status", doc="Status.", has_markets=False)
ORDERS = StreamKind(name="orders", doc="Own orders.", needs=("key",))
SECRET = Secret(name="key", env="A_KEY", doc="Key of our account.")
SETTLE = Option(name="settle", doc="Currency.", choices=("usdt", "btc"), default="usdt")


@pytest.fixture(autouse=True)
def keyed(monkeypatch):
    """The feeds there are, one of them with a key, an option and status."""

    def with_more(name):
        source = load(name)
        if name != "gate_spot":
            return source
        return msgspec.structs.replace(
            source,
            streams=(*source.streams, STATUS, ORDERS),
            options=(SETTLE,),
            secrets=(SECRET,),
        )

    monkeypatch.setattr("recorder.capture.feeds.load", with_more)
    monkeypatch.setattr("recorder.capture.plan.load", with_more)


@pytest.fixture
def plan(tmp_path):
    def plan(text, **environ):
        path = tmp_path / "jobs.toml"
        path.write_text(text)
        return plan_feeds(path, environ)

    return plan


def spot(more="", streams='["trades"]'):
    head = '[[source]]\nsource = "gate_spot"\n'
    return f"{head}streams = {streams}\n{more}"


MARKETS = 'markets = ["BTC_USDT"]\n'


def test_each_feed_is_planned_as_a_job_of_its_own(plan, tmp_path):
    found = plan(
        spot(f'{MARKETS}options.settle = "btc"\nname = "deep"\n')
        + '[[source]]\nsource = "gate_v3"\nmarkets = ["*_USDT"]\nstreams = ["depth"]\n'
    )

    deep, v3 = found.feeds
    assert (found.job, found.store) == ("jobs", tmp_path / "data")
    assert (deep.name, deep.plan.job) == ("deep", "jobs.deep")
    assert deep.plan.chains == (Chain("BTC_USDT", "trades"),)
    assert deep.plan.options == {"settle": "btc"}
    assert (v3.name, v3.plan.job) == ("gate_v3", "jobs.gate_v3")
    assert v3.plan.has_patterns
    assert v3.plan.streams == ("depth:30",)


def test_feeds_of_one_venue_share_the_connections_that_it_allows(plan):
    """With v3 each market of klines has a connection of its own."""

    def klines(name, first, count, more=""):
        markets = [f"M{number}_USDT" for number in range(first, first + count)]
        return (
            f'[[source]]\nsource = "gate_v3"\nname = "{name}"\n{more}'
            f'streams = ["klines:1m"]\nmarkets = {markets}\n'
        )

    elsewhere = 'ws_url = "ws://127.0.0.1:9/v3/"\n'
    assert len(plan(klines("a", 0, 200) + klines("b", 200, 100)).feeds) == 2
    assert len(plan(klines("a", 0, 200) + klines("b", 0, 101, elsewhere)).feeds) == 2
    with pytest.raises(ConfigError) as refused:
        plan(klines("a", 0, 200) + klines("b", 200, 101))

    assert "line 10: 101 streams of markets need 101 connections to gate_v3, " in str(
        refused.value
    )
    assert "other feeds have 200, and its venue allows 300" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (spot(MARKETS).replace("gate_spot", "nobody"), 2, "no source 'nobody'; choose"),
        (spot(MARKETS, '["trades",\n"quotes"]'), 4, "has no stream 'quotes'; it has"),
        (spot(MARKETS, '[\n"klines:7m"]'), 4, "has no parameter '7m'; legal are"),
        (spot(f"{MARKETS}options.taste = 'x'\n"), 5, "has no option 'taste'"),
        (
            spot(f"{MARKETS}[source.options]\nsettle = 'x'\n"),
            6,
            "option 'settle' cannot be 'x'; choose from usdt, btc",
        ),
        (
            spot(f"{MARKETS}options.secret = 'x'\n"),
            5,
            "keys are never in the file; put it into the environment variable A_KEY",
        ),
        (spot(), 1, 'trades is of markets: add markets = ["BTC_USDT"]'),
        (spot("markets = []\n"), 4, "trades is of markets: name some"),
        (spot(MARKETS, '["status"]'), 4, "status is of no market: leave markets out"),
        (spot('markets = ["!X"]\n'), 4, "'!X' only takes markets away"),
        (
            spot(f'{MARKETS}ws_url = "http://x"\n'),
            5,
            "ws_url wants an address that starts with ws:// or wss://",
        ),
        (spot(f'{MARKETS}rest_url = ""\n'), 5, "rest_url wants an address that"),
        (
            spot(MARKETS, '["orders"]'),
            1,
            "stream 'orders' needs a key: set the environment variable A_KEY",
        ),
        (
            spot(f'{MARKETS}\nname = "s3cret-s3cret"\n'),
            6,
            "the key of A_KEY stands here: take it out",
        ),
    ],
)
def test_what_a_feed_does_not_know_is_told_with_its_line(
    plan, tmp_path, text, line, words
):
    environ = {"A_KEY": "s3cret-s3cret"} if "s3cret" in text else {}

    with pytest.raises(ConfigError) as caught:
        plan(text, **environ)

    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'jobs.toml'}, line {line}: ")
    assert words in told
    assert "s3cret" not in told


def test_all_that_is_wrong_with_a_feed_is_told_at_once(plan):
    text = spot('markets = ["A", ""]\noptions.settle = "x"\n', '["quotes", "dept"]')

    with pytest.raises(ConfigError) as caught:
        plan(f"{text}{text}zzz = 1\n")

    lines = [line.split(":")[0] for line in str(caught.value).splitlines()[1:]]
    assert lines == [f"  line {number}" for number in (3, 3, 4, 5, 6, 8, 8, 9, 10, 11)]


def test_a_key_comes_from_the_environment(plan):
    (feed,) = plan(spot(MARKETS, '["orders"]'), A_KEY="s3cret-s3cret").feeds

    assert feed.plan.secrets["key"] == "s3cret-s3cret"


def test_variables_are_those_of_a_source_or_of_all():
    assert variables_of("gate_spot") == ("A_KEY",)
    assert variables_of("gate_v3") == tuple(s.env for s in load("gate_v3").secrets)
    assert "A_KEY" in variables_of(None)
    assert variables_of("nobody") == variables_of(None)


# The example -----------------------------------------------------------------


def in_force(text):
    """Put everything in force that an example shows."""
    lines = text.splitlines()
    shown = [line.removeprefix("#") for line in lines if not line.startswith("# ")]
    return "\n".join(shown)


def environment():
    variables = [secret.env for name in names() for secret in load(name).secrets]
    return dict.fromkeys([*variables, "A_KEY"], "0123456789abcdef")


def test_the_example_is_right_as_it_stands_and_with_all_that_it_shows(tmp_path):
    path = tmp_path / "recorder.toml"

    path.write_text(example_file())
    as_it_stands = plan_feeds(path, {})
    path.write_text(in_force(example_file()))
    whole = plan_feeds(path, environment())

    assert len(as_it_stands.feeds) == 1
    assert {feed.plan.source.name for feed in whole.feeds} == set(names())
    assert whole.store == as_it_stands.store == tmp_path / "data"


def test_the_example_shows_every_key_that_there_is():
    text = example_file()

    for table in (FileTable, SourceTable):
        for field in msgspec.structs.fields(table):
            assert field.name in text, field.name
    for name in names():
        assert f'source = "{name}"' in text
        assert load(name).doc in text


def test_a_feed_whose_every_stream_needs_a_key_is_shown_with_them(monkeypatch):
    source = load("gate_v3")
    needy = tuple(
        msgspec.structs.replace(kind, needs=("key",)) for kind in source.streams
    )
    monkeypatch.setattr(
        "recorder.cli.example.load",
        lambda name: msgspec.structs.replace(
            source, streams=needy, secrets=(SECRET,), options=(SETTLE,)
        ),
    )
    text = example_file()

    assert "# A_KEY: Key of our account." in text
    assert '#options.settle = "usdt"' in text
    assert "# options.settle: Currency. (usdt, btc)" in text
    assert "streams = []" not in text


def test_the_store_lies_beside_the_file(tmp_path, monkeypatch):
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "jobs.toml").write_text(spot(MARKETS))
    monkeypatch.chdir(tmp_path)

    assert plan_feeds(Path("etc/jobs.toml"), {}).store == Path("etc/data")
