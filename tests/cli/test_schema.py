from recorder.store.tables import TABLES


def cells(line):
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_schema_lists_tables_and_views(run):
    rows = [cells(x) for x in run("schema").stdout.splitlines() if x.startswith("│")]

    assert rows[: len(TABLES)] == [[t.name, "v1", t.doc] for t in TABLES.values()]
    views = {row[0]: row[1] for row in rows[len(TABLES) :]}
    assert list(views) == [
        "gaps_log",
        "depth_levels",
        "gaps",
        "klines_final",
        "outages",
        "trades_dedup",
    ]
    assert views["gaps"] == "what is missing, one row for each gap, as it is known now."


def test_schema_of_a_table_shows_type_unit_clock_and_meaning(run):
    result = run("schema", "trades")

    rows = [cells(x) for x in result.stdout.splitlines() if x.startswith("│")]
    by_name = {row[0]: row for row in rows}
    assert result.stdout.startswith("trades v1: One row is one execution")
    assert list(by_name) == [*TABLES["trades"].schema.names, "source", "date"]
    assert by_name["ts_event"][:5] == [
        "ts_event",
        "TIMESTAMP_NS",
        "yes",
        "ns, UTC",
        "venue",
    ]
    assert by_name["price"][1:3] == ["DOUBLE", "no"]
    assert by_name["price"][5] == "Price of the execution."


def test_schema_of_a_view_is_its_comment(run):
    result = run("schema", "depth_levels")

    assert result.stdout.startswith("depth_levels: the table depth in its long form")
    assert "0 removes the level" in result.stdout
    assert "SELECT" not in result.stdout


def test_schema_of_an_unknown_table_names_those_there_are(run):
    result = run("schema", "trade")

    assert result.exit_code == 2
    assert "there is no table 'trade'" in result.stderr
    assert "tickers, trades, gaps_log, depth_levels" in result.stderr


def test_schema_of_all_revisions_of_gaps_is_that_of_the_table(run):
    table, revisions = run("schema", "gaps"), run("schema", "gaps_log")

    assert revisions.exit_code == 0
    assert revisions.stdout.startswith("gaps_log v1: ")
    lines = revisions.stdout.splitlines()[1:]
    assert table.stdout.splitlines()[1 : len(lines) + 1] == lines


def test_schema_of_a_table_that_a_view_shows_says_what_it_shows(run):
    result = run("schema", "gaps")

    assert result.stdout.startswith("gaps v1: One row is one revision")
    assert "newest revision of each gap_id; gaps_log shows all of them" in result.stdout
