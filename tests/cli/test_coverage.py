"""``recorder coverage``: a picture, a table, and JSON with every gap."""

import msgspec
import pytest

from recorder.cli.coverage import share_text
from recorder.cli.coverage_picture import BLOCKS, PLAIN, cells_of, signs_for
from recorder.model import Coverage
from recorder.query.store import open_store
from recorder.store.run import OpenInterval, RunState, open_run


S = 1_000_000_000


def covered(maker, start, end, market="BTC_USDT", **facts):
    """A row of coverage; times in seconds after noon."""
    event = Coverage(
        **{"job": "job", "stream": "trades", "closed_by": "gap", **facts},
        market=market,
        started_at=maker.noon + start * S,
        ended_at=maker.noon + end * S,
    )
    return maker.noon + 4_000 * S, event


def missed(maker, gap_id, start, end, market="BTC_USDT", **facts):
    """A row of gaps; times in seconds after noon."""
    return maker.gap(
        4_000 * S,
        gap_id,
        **{"stream": "trades", **facts},
        market=market,
        started_at=maker.noon + start * S,
        ended_at=None if end is None else maker.noon + end * S,
    )


@pytest.fixture
def store(maker):
    """Two markets of an hour: one whole, one with a hole of 36 s, another healed."""
    maker.segment(
        [
            covered(maker, 0, 3_600),
            covered(maker, 0, 600, "ETH_USDT"),
            covered(maker, 636, 2_636, "ETH_USDT"),
            covered(maker, 3_000, 3_600, "ETH_USDT"),
        ]
    )
    maker.segment(
        [
            missed(maker, "a", 600, 636, "ETH_USDT"),
            missed(maker, "b", 2_636, 3_000, "ETH_USDT", healed_by="backfill"),
        ]
    )
    return maker.root


def cells(line):
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_a_table_says_what_is_covered_and_what_is_missing(run, store):
    result = run("coverage", "--store", store)

    rows = [cells(line) for line in result.stdout.splitlines() if line[0] == "│"]
    span = ["2024-05-01T12:00:00Z", "2024-05-01T13:00:00Z"]
    assert result.exit_code == 0
    assert [row[2:] for row in rows[:2]] == [
        ["BTC_USDT", "job", *span, "100 %", "0", "0", "0", "0", "0"],
        ["ETH_USDT", "job", *span, "88.8888 %", "00:06:04", "36.000 s", "2", "0", "1"],
    ]
    assert rows[-1] == [
        "gate_spot", "2", "94.4444 %", "00:06:04", "36.000 s", "2", "0", "1",
    ]  # fmt: skip


def test_a_picture_has_a_line_for_each_chain_and_shows_each_hole(
    run, store, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "87")
    result = run("coverage", "--store", store)

    legend, whole, holes, *_ = result.stdout.splitlines()
    assert BLOCKS.legend in legend
    label = "gate_spot trades BTC_USDT "
    assert whole == label + "█" * 60
    # A minute a cell.
    shown = "█" * 10 + "▃" + "█" * 32 + "▒" * 7 + "█" * 10
    assert holes == "gate_spot trades ETH_USDT " + shown
    assert "\x1b" not in result.stdout


def test_who_cannot_show_blocks_gets_plain_signs():
    assert signs_for("utf-8") is BLOCKS
    assert signs_for("ascii") is PLAIN
    assert signs_for(None) is PLAIN
    assert signs_for("no such encoding") is PLAIN


@pytest.mark.parametrize("signs", [BLOCKS, PLAIN])
def test_a_hole_of_a_nanosecond_never_looks_whole(maker, signs):
    hole = maker.noon + 1_000 * S
    (at, before), (_, after) = covered(maker, 0, 1_000), covered(maker, 1_000, 2_000)
    after = msgspec.structs.replace(after, started_at=hole + 1)
    maker.segment([(at, before), (at, after)])
    gap = maker.gap(9, "a", stream="trades", started_at=hole, ended_at=hole + 1)
    maker.segment([gap])
    [chain] = open_store(maker.root).coverage().chains

    cells = cells_of(chain, chain.started_at, chain.ended_at, 50, signs)

    assert [cell.sign for cell in cells if cell.kind == "hole"] == [signs.partly[-1]]
    assert sum(cell.sign == signs.whole for cell in cells) == 49


def test_what_was_written_down_as_covered_and_is_not_is_a_hole_too(maker):
    maker.segment([covered(maker, 0, 1_000)])
    maker.segment([missed(maker, "a", 500, 500)])
    [chain] = open_store(maker.root).coverage().chains

    cells = cells_of(chain, chain.started_at, chain.ended_at, 10, PLAIN)

    assert "".join(cell.sign for cell in cells) == "#####9####"
    assert chain.account.gaps.all == 1


def test_a_time_of_which_nothing_is_told_is_blank(maker):
    maker.segment([covered(maker, 0, 100), covered(maker, 900, 1_000)])
    [chain] = open_store(maker.root).coverage().chains

    cells = cells_of(chain, chain.started_at, chain.ended_at, 10, PLAIN)

    assert "".join(cell.sign for cell in cells) == "#        #"
    assert share_text(chain.account) == "100 %"


def test_json_has_every_gap(run, store):
    result = run("coverage", "--store", store, "--json")

    told = msgspec.json.decode(result.stdout)
    assert told["from"] == "2024-05-01T12:00:00.000000000Z"
    assert told["sources"]["gate_spot"]["missing_seconds"] == 36.0
    btc, eth = told["chains"]
    assert (btc["market"], btc["covered_share"], btc["missing"]) == (
        "BTC_USDT",
        1.0,
        [],
    )
    assert eth["missing"] == [
        ["2024-05-01T12:10:00.000000000Z", "2024-05-01T12:10:36.000000000Z"]
    ]
    assert eth["jobs"][0]["job"] == "job"
    first, second = told["gaps"]
    assert first == {
        "gap_id": "a",
        "source": "gate_spot",
        "job": "job",
        "market": "ETH_USDT",
        "stream": "trades",
        "scope": "rows",
        "reason": "connect_lost",
        "started_at": "2024-05-01T12:10:00.000000000Z",
        "ended_at": "2024-05-01T12:10:36.000000000Z",
        "healed_by": None,
        "detail": None,
    }
    assert (second["gap_id"], second["healed_by"]) == ("b", "backfill")


def test_only_the_chains_that_miss_most_are_shown(run, store):
    result = run("coverage", "--store", store, "--limit", "1")

    assert "ETH_USDT" in result.stdout
    assert "BTC_USDT" not in result.stdout
    assert "1 more misses no more than these" in result.stdout


def test_a_part_can_be_asked_for(run, store):
    window = ["--from", "2024-05-01T12:10:00Z", "--to", "2024-05-01T12:20:00Z"]
    result = run(
        "coverage", "--store", store, "--market", "ETH_USDT", "--json", *window
    )

    told = msgspec.json.decode(result.stdout)
    [eth] = told["chains"]
    assert (eth["from"], eth["to"]) == (
        "2024-05-01T12:10:00.000000000Z",
        "2024-05-01T12:20:00.000000000Z",
    )
    assert (eth["covered_seconds"], eth["missing_seconds"]) == (564.0, 36.0)
    assert [gap["gap_id"] for gap in told["gaps"]] == ["a"]


@pytest.mark.parametrize(
    "which",
    [["--source", "okx_status"], ["--job", "none"], ["--stream", "depth"]],
)
def test_of_what_was_never_recorded_there_is_nothing_to_show(run, store, which):
    result = run("coverage", "--store", store, *which)

    assert result.exit_code == 0
    assert "Nothing of that was recorded" in result.stdout


def test_a_run_that_died_is_told_of(run, store, maker):
    dead = open_run(store, job="job", source="gate_spot", now_ns=maker.noon)
    interval = OpenInterval("BTC_USDT", "bbo", maker.noon)
    dead.write_state(RunState(intervals=(interval,)), maker.noon + 5 * S)
    dead.abandon()

    result = run("coverage", "--store", store)

    assert f"Run {dead.id} of job job died" in result.stdout
    assert "gate_spot bbo BTC_USDT" in result.stdout
