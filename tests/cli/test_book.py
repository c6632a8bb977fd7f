import msgspec
import pytest

from recorder.store.run import RunState, open_run


SNAPSHOT = (b'[["10","1"],["9.9","2"],["9.8","0.1"]]', b'[["10.3","0.2"],["10.4","3"]]')


@pytest.fixture
def store(maker):
    """A book known from +10 on, changed at +20, then a gap from +30 on."""
    second = 1_000_000_000
    maker.segment(
        [
            maker.depth(9 * second, *SNAPSHOT, is_snapshot=True),
            maker.depth(9 * second + 1, b'[["9.9","0"]]', b'[["10.2","0.4"]]'),
        ]
    )
    maker.segment([maker.coverage(30 * second, stream="depth:100ms")])
    lost = maker.noon + 30 * second
    maker.journal(
        [maker.gap(30 * second, "g", started_at=lost, detail="the line was cut")]
    )
    return maker.root


def book(run, store, *words):
    return run(
        "book",
        "--store",
        store,
        "--source",
        "gate_spot",
        "--market",
        "BTC_USDT",
        *words,
    )


def test_json_is_one_object_of_these_keys(run, store):
    result = book(run, store, "--format", "json", "--at", "2024-05-01T12:00:20Z")

    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert msgspec.json.decode(result.stdout) == {
        "source": "gate_spot",
        "market": "BTC_USDT",
        "ts": "2024-05-01T12:00:20.000000000Z",
        "known": True,
        "bids": [[10.0, 1.0], [9.8, 0.1]],
        "asks": [[10.2, 0.4], [10.3, 0.2], [10.4, 3.0]],
    }


def test_levels_limit_each_side(run, store):
    result = book(
        run, store, "--format", "json", "--at", "2024-05-01T12:00:20Z", "--levels", 1
    )

    content = msgspec.json.decode(result.stdout)
    assert (content["bids"], content["asks"]) == ([[10.0, 1.0]], [[10.2, 0.4]])


def test_without_a_time_it_is_that_of_the_last_message(run, store):
    result = book(run, store, "--format", "json")

    content = msgspec.json.decode(result.stdout)
    assert content["ts"] == "2024-05-01T12:00:09.000000001Z"
    assert content["known"]


def test_the_table_is_a_ladder_with_asks_above_bids(run, store):
    result = book(run, store, "--at", "2024-05-01T12:00:20Z")

    lines = result.stdout.splitlines()
    rows = [[c.strip() for c in x.strip("│").split("│")] for x in lines if x[0] == "│"]
    assert lines[0] == (
        "gate_spot BTC_USDT depth:100ms at 2024-05-01T12:00:20.000000000Z"
    )
    assert [row[:4] for row in rows] == [
        ["ask", "10.4", "3", "3.6"],
        ["ask", "10.3", "0.2", "0.6"],
        ["ask", "10.2", "0.4", "0.4"],
        ["", "spread 0.2", "", ""],
        ["bid", "10", "1", "1"],
        ["bid", "9.8", "0.1", "1.1"],
    ]
    assert [len(row[4]) for row in rows] == [24, 4, 3, 0, 7, 7]


def test_sums_and_the_spread_have_the_digits_of_the_prices(run, maker):
    bids = b'[["79228","0.1"],["79227.9","0.2"],["79227.8","1234567890123.4"]]'
    asks = b'[["79228.1","0.00000001"],["79228.2","1000000"]]'
    maker.segment([maker.depth(9, bids, asks, is_snapshot=True)])

    result = book(run, maker.root)

    lines = [x for x in result.stdout.splitlines() if x.startswith("│")]
    rows = [[c.strip() for c in line.strip("│").split("│")] for line in lines]
    assert rows[2][1] == "spread 0.1"
    assert [row[3] for row in rows if row[0]] == [
        "1000000.00000001",
        "0.00000001",
        "0.1",
        "0.3",
        "1234567890123.7",
    ]


def test_a_book_that_is_not_known_says_so_and_which_gap_hides_it(run, store):
    result = book(run, store, "--at", "2024-05-01T12:00:31Z")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "The book is not known at this instant.",
        "Gap connect_lost from 2024-05-01T12:00:30.000000000Z, still open: the line was cut",
        "Last message before: 2024-05-01T12:00:09.000000001Z",
    ]


def test_json_of_a_book_that_is_not_known_has_no_levels(run, store):
    result = book(run, store, "--at", "2024-05-01T12:00:31Z", "--format", "json")

    assert result.exit_code == 0
    assert msgspec.json.decode(result.stdout) == {
        "source": "gate_spot",
        "market": "BTC_USDT",
        "ts": "2024-05-01T12:00:31.000000000Z",
        "known": False,
        "bids": [],
        "asks": [],
    }


def test_before_the_recording_no_gap_is_to_blame(run, store):
    result = book(run, store, "--at", "2024-05-01T11:00")

    assert "No gap covers it: it is outside the recording" in result.stdout
    assert "Last message before" not in result.stdout


def test_a_closed_gap_says_when_it_ended(run, maker):
    maker.segment([maker.depth(1, *SNAPSHOT, is_snapshot=True)])
    maker.segment([maker.gap(5, "g", ended_at=maker.noon + 60_000_000_000)])

    result = book(run, maker.root, "--at", "2024-05-01T12:00:30Z")

    assert (
        "Gap connect_lost from 2024-05-01T12:00:00.000000000Z "
        "to 2024-05-01T12:01:00.000000000Z\n"
    ) in result.stdout


def test_a_book_with_one_side_shows_it(run, maker):
    maker.segment([maker.depth(1, b'[["10","1"]]', b"[]", is_snapshot=True)])

    result = book(run, maker.root)

    assert "one side is empty" in result.stdout
    assert "│ bid │" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--market", "NO_USDT"), "no market 'NO_USDT'"),
        (("--source", "nowhere"), "no source 'nowhere'"),
        (("--stream", "depth:20ms"), "no stream 'depth:20ms'"),
        (("--at", "noon"), "not a time: 'noon'"),
        (("--levels", "0"), "--levels"),
    ],
)
def test_what_was_never_recorded_is_wrong_usage(run, store, words, message):
    result = book(run, store, *words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_a_run_that_was_not_settled_is_told_with_what_to_do(run, maker):
    maker.segment([maker.depth(1, *SNAPSHOT, is_snapshot=True)])
    dead = open_run(maker.root, job="nightly", source="gate_spot", now_ns=maker.noon)
    dead.write_state(RunState())
    dead.abandon()

    result = book(run, maker.root, "--at", "2024-05-01T13:00:00Z")
    before = book(run, maker.root, "--at", "2024-05-01T11:00:00Z")

    assert result.stdout.splitlines()[2] == (
        f"Run {dead.id} of job nightly died; it was last alive at "
        "2024-05-01T12:00:00.000000000Z. What is missing since is not among the gaps "
        f"yet; recorder recover --store {maker.root} notes it, and so does the next "
        "capture."
    )
    assert "No gap covers it" not in result.stdout
    assert "No gap covers it" in before.stdout
    assert "recover" not in before.stdout


def test_a_run_that_lives_needs_no_recovery(run, maker):
    maker.segment([maker.depth(1, *SNAPSHOT, is_snapshot=True)])
    alive = open_run(maker.root, job="nightly", source="gate_spot", now_ns=maker.noon)

    result = book(run, maker.root, "--at", "2024-05-01T13:00:00Z")
    alive.release()

    assert "recover" not in result.stdout
    assert "No gap covers it" in result.stdout
