"""Names of files, and nothing else finding its way into them."""

from pathlib import Path

import pytest

from recorder.errors import StoreError
from recorder.store.layout import (
    DAY_NS,
    Partition,
    Stem,
    date_of,
    is_source,
    job_lock_path,
    journal_path,
    list_files,
    parse_stem,
    segment_path,
    utc_text,
)


PARTITION = Partition("depth", "gate_spot", "2023-11-14")
STEM = Stem(1_700_000_000_000_000_000, "20231114T221320-abcdef", 7)


def test_a_journal_and_its_segment_have_the_same_stem() -> None:
    root = Path("/data")

    assert segment_path(root, PARTITION, STEM) == Path(
        "/data/depth/source=gate_spot/date=2023-11-14/"
        "1700000000000000000_20231114T221320-abcdef_7.parquet"
    )
    assert journal_path(root, PARTITION, STEM) == Path(
        "/data/.recorder/journals/depth/source=gate_spot/date=2023-11-14/"
        "1700000000000000000_20231114T221320-abcdef_7.arrow"
    )


def test_a_stem_is_read_back_as_it_was_written() -> None:
    assert parse_stem(str(STEM)) == STEM
    assert parse_stem(str(STEM._replace(first_ts_recv=5))) == STEM._replace(
        first_ts_recv=5
    )


@pytest.mark.parametrize("text", ["", "1_run_0", "x", f"{STEM}.tmp", f"{STEM}\n"])
def test_other_names_are_no_stems(text: str) -> None:
    assert parse_stem(text) is None


@pytest.mark.parametrize(
    "text", ["", "..", "a/b", "Gate", "a b", "ä", "a\n", "source=x", "٣"]
)
def test_only_plain_names_become_the_name_of_a_source(text: str) -> None:
    assert not is_source(text)
    with pytest.raises(StoreError, match="cannot name a source"):
        Partition("depth", text, "2023-11-14").folder()


def test_dates_and_times_are_utc() -> None:
    assert date_of(0) == "1970-01-01"
    assert date_of(DAY_NS - 1) == "1970-01-01"
    assert date_of(DAY_NS) == "1970-01-02"
    assert utc_text(1_700_000_000_999_999_999) == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize(
    "job",
    ["", "..", "../../etc/passwd", "/", "a/b", "\0", "j" * 5000, "é ☃", "\ud800", "."],
)
def test_no_job_name_escapes_the_folder_of_locks(tmp_path: Path, job: str) -> None:
    path = job_lock_path(tmp_path, job)

    assert path.parent == tmp_path / ".recorder" / "locks"
    assert len(path.name) < 100
    path.parent.mkdir(parents=True)
    path.touch()
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_jobs_that_look_alike_have_their_own_locks(tmp_path: Path) -> None:
    jobs = ["a/b", "a_b", "a\\b", "A_b", "a_b "]

    assert len({job_lock_path(tmp_path, job) for job in jobs}) == len(jobs)
    assert "gate_spot-btc" in job_lock_path(tmp_path, "gate_spot-btc").name


def test_files_are_listed_in_order_and_strangers_passed_over(tmp_path: Path) -> None:
    wanted = [
        (partition, stem)
        for partition in (
            PARTITION,
            PARTITION._replace(date="2023-11-15"),
            PARTITION._replace(source="gate_v3"),
        )
        for stem in (STEM, STEM._replace(first_ts_recv=STEM.first_ts_recv + 1))
    ]
    for partition, stem in reversed(wanted):
        path = segment_path(tmp_path, partition, stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = tmp_path / PARTITION.folder()
    (folder / f"{STEM}.arrow").touch()
    (folder / f"{STEM}").touch()
    (folder / "notes.parquet").touch()
    (folder.parent / "date=never").mkdir()
    (folder.parent / "2023-11-14").mkdir()
    (folder.parent / "date=2023-11-16").touch()
    (folder.parent.parent / "source=No Such").mkdir()
    (folder.parent.parent / "readme").touch()
    (tmp_path / "other").mkdir()

    found = list(list_files(tmp_path, ".parquet"))

    assert [(partition, stem) for partition, stem, _ in found] == wanted
    assert all(path == segment_path(tmp_path, p, stem) for p, stem, path in found)
