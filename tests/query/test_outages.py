"""What the view outages makes of gaps and of what the venue said."""

import pytest

from recorder import open_store


SECOND = 1_000_000_000
MINUTE = 60 * SECOND


@pytest.fixture
def ask(maker, fetch):
    """Put gaps and messages, with times from noon on, into a store; ask what fits.

    Both are dictionaries of facts; of a gap ``from`` and ``to``, of a message
    ``at``, ``from`` and ``to`` are seconds after noon.
    """

    def at(seconds):
        return None if seconds is None else maker.noon + int(seconds * SECOND)

    def gap(number, facts):
        rest = {k: v for k, v in facts.items() if k not in {"from", "to", "source"}}
        return maker.gap(
            number,
            f"g{number}",
            started_at=at(facts["from"]),
            ended_at=at(facts.get("to")),
            **rest,
        )

    def status(facts):
        rest = {
            k: v for k, v in facts.items() if k not in {"at", "from", "to", "source"}
        }
        return maker.status(
            int(facts["at"] * SECOND),
            starts_at=at(facts.get("from")),
            ends_at=at(facts.get("to")),
            **rest,
        )

    def write(rows, make):
        by_source = {}
        for pair in enumerate(rows):
            by_source.setdefault(pair[1].get("source", "gate_spot"), []).append(pair)
        for source, pairs in by_source.items():
            maker.segment([make(pair) for pair in pairs], source=source)

    def ask(gaps, messages, columns="status_title"):
        write(gaps, lambda pair: gap(*pair))
        write(messages, lambda pair: status(pair[1]))
        question = f"SELECT {columns} FROM outages ORDER BY source, gap_id"
        rows = fetch(open_store(maker.root).sql(question))
        return [next(iter(row.values())) if len(row) == 1 else row for row in rows]

    return ask


HOLE = {"from": 600, "to": 660}
UPKEEP = {"at": -3600, "from": 540, "to": 720, "title": "upkeep", "state": "scheduled"}
NOTICE = {"at": 590, "kind": "upgrade", "title": "soon"}


def test_a_gap_is_shown_with_all_that_was_said_of_its_time(ask, maker):
    message = {**UPKEEP, "url": "https://venue.example/1"}

    (row,) = ask([HOLE], [message], "*")

    noon = maker.noon
    assert {name: row[name] for name in ("gap_id", "started_at", "reason")} == {
        "gap_id": "g0",
        "started_at": noon + 600 * SECOND,
        "reason": "connect_lost",
    }
    assert {k: v for k, v in row.items() if k.startswith(("status_", "expl"))} == {
        "explained_by": "interval",
        "status_source": "gate_spot",
        "status_ts_recv": noon - 3600 * SECOND,
        "status_kind": "maintenance",
        "status_state": "scheduled",
        "status_title": "upkeep",
        "status_url": "https://venue.example/1",
        "status_starts_at": noon + 540 * SECOND,
        "status_ends_at": noon + 720 * SECOND,
        "status_messages": 1,
    }


def test_a_gap_of_which_nobody_spoke_stays_with_nulls(ask):
    rows = ask([HOLE], [], "gap_id, explained_by, status_title, status_messages")

    assert rows == [
        {
            "gap_id": "g0",
            "explained_by": None,
            "status_title": None,
            "status_messages": 0,
        }
    ]


def test_columns_are_those_of_gaps_and_then_of_the_message(maker):
    maker.segment([maker.gap(1, "a")])
    store = open_store(maker.root)

    def columns(view):
        return [row[:2] for row in store.sql(f"DESCRIBE {view}").fetchall()]

    gaps, outages = columns("gaps"), columns("outages")
    assert outages[: len(gaps) - 2] == gaps[:-2]
    assert outages[len(gaps) - 2 :] == [
        ("explained_by", "VARCHAR"),
        ("status_source", "VARCHAR"),
        ("status_ts_recv", "TIMESTAMP_NS"),
        ("status_kind", "VARCHAR"),
        ("status_state", "VARCHAR"),
        ("status_title", "VARCHAR"),
        ("status_url", "VARCHAR"),
        ("status_starts_at", "TIMESTAMP_NS"),
        ("status_ends_at", "TIMESTAMP_NS"),
        ("status_messages", "BIGINT"),
        *gaps[-2:],
    ]


def test_an_interval_explains_what_it_covers_or_overlaps(ask):
    expected = {
        (0, 540): None,  # the interval begins when the gap is over
        (0, 541): "upkeep",
        (719, 800): "upkeep",
        (720, 800): None,  # the gap begins when the interval is over
        (0, 5000): "upkeep",
        (600, None): "upkeep",
        (0, None): "upkeep",
        (720, None): None,
        (600, 600): "upkeep",
    }
    gaps = [{"from": start, "to": end} for start, end in expected]

    assert ask(gaps, [UPKEEP]) == list(expected.values())


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (299, None),  # five minutes and a second before the gap
        (301, "soon"),
        (599, "soon"),
        (630, "soon"),
        (660, None),  # the gap is over
    ],
)
def test_a_notice_explains_what_follows_soon_and_what_goes_on(ask, said, found):
    rows = ask([HOLE], [{**NOTICE, "at": said}], "explained_by, status_title")

    by = None if found is None else "notice"
    assert rows == [{"explained_by": by, "status_title": found}]


def test_a_notice_said_again_later_is_not_taken_for_a_new_one(ask, maker):
    long_ago = maker.noon - 86_400 * SECOND

    assert ask([HOLE], [{**NOTICE, "ts_event": long_ago}]) == [None]


def test_a_notice_of_a_fast_clock_counts_from_when_it_came(ask, maker):
    future = maker.noon + 5000 * SECOND

    assert ask([HOLE], [{**NOTICE, "ts_event": future}]) == ["soon"]


@pytest.mark.parametrize("kind", ["welcome", "error", "announcement", "heartbeat"])
def test_what_is_no_notice_and_names_no_time_explains_nothing(ask, kind):
    assert ask([HOLE], [{**NOTICE, "kind": kind}]) == [None]


def test_an_announcement_that_names_a_time_explains_it(ask):
    assert ask([HOLE], [{**UPKEEP, "kind": "announcement"}]) == ["upkeep"]


def test_an_interval_without_an_end_counts_for_five_minutes(ask):
    gaps = [{"from": 830, "to": 840}, {"from": 850, "to": 860}]

    assert ask(gaps, [{**UPKEEP, "to": None}]) == ["upkeep", None]


def test_a_message_concerns_the_feeds_of_its_venue(ask):
    sources = ("gate_futures", "gate_spot", "gatecoin_spot", "lone", "okx_trades")
    gaps = [{**HOLE, "source": source} for source in sources]
    messages = [
        {**UPKEEP, "source": source, "title": source}
        for source in ("gate_announcements", "lone", "okx_status")
    ]

    assert ask(gaps, messages) == [
        "gate_announcements",
        "gate_announcements",
        None,
        "lone",
        "okx_status",
    ]


def test_a_message_concerns_the_markets_that_it_names(ask):
    gaps = [{**HOLE, "market": name} for name in ("BTC_USDT", "ETH_USDT", "X", None)]
    messages = [
        {**UPKEEP, "at": 1, "title": "of one", "market": "BTC_USDT"},
        {**UPKEEP, "at": 2, "title": "of two", "markets": ("BTC_USDT", "ETH_USDT")},
        {**UPKEEP, "at": 3, "title": "of another", "market": "Y"},
    ]

    assert ask(gaps, messages, "status_title, status_messages") == [
        {"status_title": "of two", "status_messages": 2},
        {"status_title": "of two", "status_messages": 1},
        {"status_title": None, "status_messages": 0},
        {"status_title": "of another", "status_messages": 3},
    ]


@pytest.mark.parametrize("markets", [None, ()])
def test_a_message_that_names_no_market_concerns_all(ask, markets):
    assert ask([HOLE], [{**UPKEEP, "markets": markets}]) == ["upkeep"]


def test_no_venue_explains_what_this_machine_did(ask):
    ours = ["process_stopped", "process_killed", "journal_damaged", "backpressure"]
    reasons = ["connect_lost", "venue_upgrade", "stale_stream", "not_started", "resync"]

    found = ask([{**HOLE, "reason": why} for why in reasons + ours], [UPKEEP])

    assert found == ["upkeep"] * len(reasons) + [None] * len(ours)


def test_each_gap_is_there_once_with_what_fits_best(ask):
    overlaps = {**UPKEEP, "title": "overlaps", "from": 640, "at": -1}
    older = {**UPKEEP, "title": "older", "at": -7200}
    rows = ask(
        [HOLE, {"from": 630, "to": 800}, {"from": 100, "to": 500}],
        [overlaps, UPKEEP, older, NOTICE],
        "gap_id, status_title, status_messages",
    )

    assert [tuple(row.values()) for row in rows] == [
        ("g0", "upkeep", 4),  # the newest that covers it
        ("g1", "overlaps", 4),  # none covers it: the newest
        ("g2", None, 0),
    ]


def test_the_newest_word_about_a_maintenance_stands(ask):
    done = {**UPKEEP, "at": 650, "to": 630, "state": "completed"}
    gaps = [HOLE, {"from": 650, "to": 670}]

    rows = ask(gaps, [UPKEEP, done], "status_state, status_messages")

    assert [tuple(row.values()) for row in rows] == [("completed", 1), (None, 0)]


@pytest.mark.parametrize("word", ["canceled", "cancelled", "Canceled"])
def test_what_was_canceled_explains_nothing(ask, word):
    assert ask([HOLE], [UPKEEP, {**UPKEEP, "at": 0, "state": word}]) == [None]


def test_what_was_rescheduled_explains_its_new_time_only(ask):
    moved = {**UPKEEP, "at": 100, "from": 5400, "to": 7200}
    gaps = [HOLE, {"from": 6000, "to": 6010}]

    rows = ask(gaps, [UPKEEP, moved], "status_title, status_messages")

    assert [tuple(row.values()) for row in rows] == [(None, 0), ("upkeep", 1)]


def test_a_maintenance_that_took_place_is_not_overruled_by_the_next(ask):
    # The same title, announced while the first went on.
    following = {**UPKEEP, "at": 600, "from": 5400, "to": 7200}
    gaps = [HOLE, {"from": 6000, "to": 6010}]

    rows = ask(gaps, [UPKEEP, following], "status_title, status_messages")

    assert [tuple(row.values()) for row in rows] == [("upkeep", 1), ("upkeep", 1)]


def test_messages_without_titles_do_not_overrule_each_other(ask):
    untitled = {**UPKEEP, "title": None, "state": "first"}
    other = {**untitled, "at": 0, "from": 9000, "to": 9600, "state": "second"}

    assert ask([HOLE], [untitled, other], "status_state") == ["first"]


def test_the_newest_revision_of_a_gap_is_explained(maker, fetch):
    noon = maker.noon
    maker.segment([maker.gap(1, "a", started_at=noon + 600 * SECOND)])
    end = noon + 660 * SECOND
    maker.journal([maker.gap(2, "a", started_at=noon + 600 * SECOND, ended_at=end)])
    maker.journal([maker.status(0, title="soon", kind="notice", ts_event=end + 1)])
    late = maker.status(700 * SECOND, title="late", kind="notice")
    maker.journal([late])

    rows = fetch(open_store(maker.root).sql("FROM outages"))

    assert [(row["ended_at"], row["status_title"]) for row in rows] == [(end, None)]


def test_a_view_over_a_view_finds_the_rows_of_both_tables(maker):
    # The text names neither gaps nor status nor gaps_log.
    maker.segment([maker.gap(1, "a")])
    maker.journal([maker.status(0, title="soon", kind="notice")])

    rows = open_store(maker.root).sql("SELECT gap_id, status_title FROM outages")

    assert rows.fetchall() == [("a", "soon")]


def test_a_store_without_gaps_has_no_outages(maker):
    maker.segment([maker.status(0, title="soon", kind="notice")])

    assert open_store(maker.root).sql("FROM outages").fetchall() == []
