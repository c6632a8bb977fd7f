"""A feed that is no part of the recorder, from its server to its books.

It lies in `recorder_sources`, below a folder that ``PYTHONPATH`` names, as
anybody's own feed may; CONTRIBUTING shows it. The oracle is its server.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from recorder import OrderBook, open_store
from recorder.cli import cli
from recorder.model import Gap


HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
FEED = HERE / "recorder_sources" / "harbour.py"
PROGRAM = [sys.executable, "-c", "from recorder.cli import main; main()"]

_SPEC = importlib.util.spec_from_file_location("harbour_server", HERE / "server.py")
server = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(server)


def environment(folder=HERE):
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What the server says, recorded by the command; the server, and the store."""
    root = tmp_path_factory.mktemp("harbour") / "store"
    markets = [f"-m{name}" for name in (*server.MARKETS, "NOPE")]
    with server.Harbour() as harbour:
        where = ["--ws-url", harbour.url, "--store", str(root)]
        capture = subprocess.Popen(
            [*PROGRAM, "capture", "harbour", *markets, "-strades", "-sdepth", *where],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            is_over = harbour.over.wait(90)
        finally:
            capture.terminate()
            log = capture.communicate()[1]
    assert is_over, log
    return harbour, open_store(root), capture.returncode, log


def test_what_the_venue_refuses_is_told_in_its_words(recorded):
    _, _, code, log = recorded

    assert code == 1
    for stream in ("trades", "depth"):
        assert f"Error: the venue refused {stream} of NOPE: no such market" in log


def test_every_trade_is_stored_as_it_was_told(recorded):
    harbour, store, _, _ = recorded

    stored = store.sql(
        "SELECT market, epoch_ns(ts_event), trade_id, side, price, amount "
        "FROM trades WHERE source = 'harbour' ORDER BY market, trade_id"
    ).fetchall()

    assert stored == sorted(
        (name, int(time.replace(".", "")), int(id_), side, float(price), float(amount))
        for name, market in harbour.markets.items()
        for time, id_, side, price, amount in market.trades
    )
    assert len(stored) > server.STEPS


@pytest.mark.parametrize("name", server.MARKETS)
def test_books_are_the_servers_own_at_every_message(recorded, name):
    harbour, store, _, _ = recorded
    market = harbour.markets[name]
    book, seen = OrderBook(), []

    for row in store.replay(source="harbour", markets=[name], streams=["depth"]):
        book.apply(row.event, conn=row.conn)
        if not isinstance(row.event, Gap):
            last = row.event.last_update_id
            seen.append(last)
            assert book.is_known == (row.event.is_snapshot or last not in market.hidden)
            if book.is_known:
                assert tuple(map(list, book.top(20))) == market.books[last]

    # Of those that were told, none is missing but the one that was sent to nobody.
    told = [last for last in market.books if last >= seen[0]]
    assert set(told) - set(seen) == set(sorted(market.hidden)[:1])


def test_books_are_not_known_where_something_is_missing(recorded):
    _, store, _, _ = recorded
    gaps = store.sql(
        "SELECT market, reason, min(epoch_ns(started_at)) FROM gaps "
        "WHERE stream = 'depth' AND scope = 'rows' AND market <> 'NOPE' "
        "AND reason NOT IN ('not_started', 'process_stopped') "
        "GROUP BY ALL ORDER BY reason, market"
    ).fetchall()

    assert [gap[:2] for gap in gaps] == [
        ("COCOA", "connect_lost"),
        ("TULIPS", "connect_lost"),
        ("TULIPS", "sequence_gap"),
    ]
    for market, reason, at in gaps:
        before = store.book_at(source="harbour", market=market, at=at - 1)
        within = store.book_at(source="harbour", market=market, at=at)
        assert (before.known, within.known) == (True, False), (market, reason)


def test_reading_a_store_needs_no_feed(recorded):
    harbour, store, _, _ = recorded
    words = ["--store", str(store.path), "--source", "harbour", "--market", "COCOA"]

    shown = CliRunner().invoke(cli, ["book", *words])

    assert shown.exit_code == 0
    (bid, _), *_ = list(harbour.markets["COCOA"].books.values())[-1][0]
    assert f"{bid:g}" in shown.output


# The registry ------------------------------------------------------------


def test_the_feed_keeps_the_contract():
    """As the guide tests it."""
    command = re.search(r"PYTHONPATH=(\S+) pytest (.*)", GUIDE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command[2].split()],
        cwd=ROOT,
        env=environment(command[1]),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 20


def test_no_other_code_knows_of_the_feed():
    for folder in ("recorder", "schemas", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".toml", ".md", ".sql"}:
                assert "harbour" not in path.read_text().lower(), path


def test_modules_that_are_no_feeds_are_told_and_none_takes_a_name(tmp_path):
    folder = tmp_path / "recorder_sources"
    folder.mkdir()
    (folder / "empty.py").write_text("")
    (folder / "other.py").write_text("from recorder.sources.gate_spot import SOURCE")
    (folder / "gate_spot.py").write_text("raise SystemExit('not the one')")
    script = """
from recorder import errors, sources
for name in ("gate_spot", "empty", "other"):
    try:
        print(name in sources.names(), sources.load(name).doc)
    except errors.ConfigError as error:
        print(error)
"""

    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )

    is_no_feed = "is no feed: it must define SOURCE, a recorder.source.Source whose"
    assert done.stdout.splitlines() == [
        "True Gate spot, WebSocket v4",
        f"{folder}/empty.py {is_no_feed} name is 'empty'",
        f"{folder}/other.py {is_no_feed} name is 'other'",
    ]


def test_the_guide_shows_the_feed_as_it_is():
    blocks = re.findall(r"```(\w*)\n(.*?)```", GUIDE, re.DOTALL)
    excerpts = [text for language, text in blocks if language != "sh"]

    assert len(excerpts) > 5
    for excerpt in excerpts:
        assert excerpt in FEED.read_text()
