"""A configuration file says what is captured, or all that is wrong with it."""

from pathlib import Path

import msgspec
import pytest

from recorder import config_file
from recorder.config_file import (
    FileTable,
    Mistake,
    Overrides,
    SourceTable,
    read_config,
)
from recorder.errors import ConfigError


GOOD = """\
store = "rows"
rotate = "5m"
flush = "500ms"
renew = "1h"
audit = "never"
archive = true
job = "nightly"

[[source]]
source = "here"
markets = ["A_B", "*_C", "!X_C"]
streams = ["trades", "depth:10"]
options = { settle = "x" }
ws_url = "ws://127.0.0.1:1/"
rest_url = "http://127.0.0.1:1"

[[source]]
source = "here"
name = "deep"
streams = ["status"]
"""


@pytest.fixture
def read(tmp_path):
    def read(text, **overrides):
        path = tmp_path / "jobs.toml"
        path.write_text(text, newline="")
        return read_config(
            path, lambda source: (f"{source}_KEY",), Overrides(**overrides)
        )

    return read


def wrong(text, read):
    return [tuple(mistake) for mistake in sorted(read(text).mistakes)]


def test_a_file_says_what_each_feed_captures(read, tmp_path):
    found = read(GOOD)

    assert found.mistakes == ()
    assert (found.job, found.store) == ("nightly", tmp_path / "rows")
    first, second = (feed.config for feed in found.feeds)
    assert (first.source, first.markets, first.streams) == (
        "here",
        ("A_B", "*_C", "!X_C"),
        ("trades", "depth:10"),
    )
    assert (first.options, first.ws_url, first.rest_url) == (
        {"settle": "x"},
        "ws://127.0.0.1:1/",
        "http://127.0.0.1:1",
    )
    assert (second.markets, second.options, second.ws_url) == ((), {}, None)
    assert [feed.name for feed in found.feeds] == ["here", "deep"]
    assert [config.job for config in (first, second)] == [
        "nightly.here",
        "nightly.deep",
    ]
    for config in (first, second):
        assert config.store == tmp_path / "rows"
        assert (config.rotate_seconds, config.flush_seconds) == (300.0, 0.5)
        assert config.renew_seconds == 3_600.0
        assert config.audit_seconds == 0.0
        assert config.is_archiving


def test_what_a_file_leaves_out_has_defaults(read, tmp_path):
    found = read('[[source]]\nsource = "here"\nstreams = ["trades"]\n')

    (feed,) = found.feeds
    assert (found.job, found.store) == ("jobs", tmp_path / "data")
    assert feed.config.job == "jobs.here"
    assert (feed.config.rotate_seconds, feed.config.flush_seconds) == (900.0, 1.0)
    assert feed.config.renew_seconds == 43_200.0
    assert feed.config.audit_seconds == 600.0
    assert not feed.config.is_archiving


def test_what_is_given_besides_stands_instead(read, tmp_path):
    found = read(
        GOOD,
        store=tmp_path / "else",
        job="daily",
        rotate_seconds=7.0,
        flush_seconds=2.0,
        renew_seconds=5.0,
        audit_seconds=0.0,
        is_archiving=False,
    )

    config = found.feeds[0].config
    assert (found.store, found.job) == (tmp_path / "else", "daily")
    assert (config.store, config.job) == (tmp_path / "else", "daily.here")
    assert (config.rotate_seconds, config.flush_seconds) == (7.0, 2.0)
    assert config.renew_seconds == 5.0
    assert config.audit_seconds == 0.0
    assert not config.is_archiving


def test_a_store_that_is_absolute_stays_where_it_is(read, tmp_path):
    assert read(GOOD.replace("rows", "/srv/rows")).store == Path("/srv/rows")


FEED = '[[source]]\nsource = "here"\nstreams = ["trades"]\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f'flus = "1s"\n{FEED}', 1, "unknown key 'flus'; did you mean flush?"),
        (f"{FEED}zzz = 1\n", 4, "unknown key 'zzz'; known: source, streams, markets"),
        (f"\nrotate = 900\n{FEED}", 2, "rotate wants a length of time in quotes"),
        (f'rotate = "soon"\n{FEED}', 1, "not a length of time: 'soon'"),
        (f'rotate = "2d"\n{FEED}', 1, "rotate must lie between 1s and 24h"),
        (f'flush = "5m"\n{FEED}', 1, "flush must lie between 50ms and 1m"),
        (f'renew = "5ms"\n{FEED}', 1, "renew must lie between 1s and 365d"),
        (f'audit = "5ms"\n{FEED}', 1, "audit must lie between 1s and 7d"),
        (f'audit = "seldom"\n{FEED}', 1, "not a length of time: 'seldom'"),
        (f'archive = "yes"\n{FEED}', 1, "archive wants true or false"),
        (f"archive = 1\n{FEED}", 1, "archive wants true or false"),
        (f'job = " "\n{FEED}', 1, "job needs a name that can be printed"),
        (f'store = ""\n{FEED}', 1, "store is no name of a folder"),
        (f"store = 1979-05-27\n{FEED}", 1, "store wants the name of a folder"),
        ("", 1, "there is no feed; add a table [[source]]"),
        ("job = 'x'\n\n[source]\nsource='y'\n", 3, "two brackets: [[source]]"),
        ("job = 'x'\nsource = 'y'\n", 2, "two brackets: [[source]]"),
        ("\n[[source]]\nstreams = ['a']\n", 2, "source is missing: it wants the name"),
        ("[[source]]\nsource = 'x'\n", 1, "streams is missing: it wants a list of"),
        (
            "[[source]]\nsource = 'x'\nstreams = []\n",
            3,
            "streams wants a list of streams",
        ),
        (FEED.replace('["trades"]', '"trades"'), 3, "streams wants a list of streams"),
        (FEED.replace('"here"', "7"), 2, "source wants the name of a source"),
        (f"{FEED}markets = [1]\n", 4, "markets wants a list of markets"),
        (f'{FEED}markets = [\n"A",\n" B"]\n', 6, "' B' is not the name of a market"),
        (f"{FEED}options = ['x']\n", 4, "options wants a table of texts"),
        (f"{FEED}options.x = 1\n", 4, "options wants a table of texts"),
        (f'{FEED}name = ""\n', 4, "name needs a name that can be printed"),
        (f"{FEED}\n{FEED}", 5, "the feed of line 1 is called 'here' as well"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(read, text, line, words):
    ((found, told),) = wrong(text, read)

    assert (found, words in told) == (line, True), told


def test_everything_that_is_wrong_is_told_at_once(read, tmp_path):
    text = (
        'flush = 1\nsotre = "x"\n[[source]]\nsource = "here"\nstreams = [""]\n'
        'markets = ["A", ""]\nmarkts = []\n[[source]]\nname = "b"\n'
    )

    with pytest.raises(ConfigError) as caught:
        read(text).check([Mistake(5, "no such stream")])

    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'jobs.toml'} has 7 mistakes:",
        '  line 1: flush wants a length of time in quotes, as in flush = "1s"',
        "  line 2: unknown key 'sotre'; did you mean store?",
        "  line 5: no such stream",
        "  line 6: '' is not the name of a market",
        "  line 7: unknown key 'markts'; did you mean markets?",
        "  line 8: source is missing: it wants the name of a source in quotes",
        '  line 8: streams is missing: it wants a list of streams, as in streams = ["trades", "depth"]',
    ]


def test_one_mistake_is_one_line(read, tmp_path):
    with pytest.raises(ConfigError) as caught:
        read(f"archive = 0\n{FEED}").check()

    assert str(caught.value) == (
        f"{tmp_path / 'jobs.toml'}, line 1: archive wants true or false"
    )


def test_a_file_without_mistakes_is_accepted(read):
    read(GOOD).check()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'api_key = "s3cret-s3cret"\n{FEED}', 1),
        (f'{FEED}API_SECRET = "s3cret-s3cret"\n', 4),
        (f'{FEED}token = "s3cret-s3cret"\n', 4),
        (f'{FEED}ws_url = "wss://x/?api_key=s3cret-s3cret"\n', 4),
        (f'{FEED}rest_url = "https://me:s3cret-s3cret@x/"\n', 4),
    ],
)
def test_a_key_is_refused_without_being_shown(read, text, line):
    ((found, told),) = wrong(text, read)

    assert found == line
    assert "keys are never in the file" in told
    assert f"environment variable {'None' if line == 1 else 'here'}_KEY" in told
    assert "s3cret" not in told


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a = \n", "is no valid TOML: Invalid value (at line 1, column 5)"),
        (b"a = 1\na = 2\n", "is no valid TOML: "),
        (b"[" * 5_000, "is no valid TOML: "),
        (b"\xff", "is no text in UTF-8"),
        (b"#" * (config_file.FILE_MAX_BYTES + 1), "is too large to be a"),
    ],
)
def test_what_is_no_toml_is_refused(tmp_path, body, words):
    path = tmp_path / "jobs.toml"
    path.write_bytes(body)

    with pytest.raises(ConfigError) as caught:
        read_config(path, lambda source: ())

    assert str(caught.value).startswith(f"{path} {words}")


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        read_config(tmp_path / "nothing.toml", lambda source: ())
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        read_config(tmp_path, lambda source: ())


def test_lines_may_end_as_elsewhere(read):
    found = read(GOOD.replace("\n", "\r\n"))

    assert found.mistakes == ()
    assert wrong(f'x = """\r\n"""\r\ny = 1\r\n{FEED}', read)[1][0] == 3


def test_every_key_says_what_it_wants():
    keys = {
        field.name
        for table in (FileTable, SourceTable)
        for field in msgspec.structs.fields(table)
    }

    assert set(config_file._WANTED) == keys
