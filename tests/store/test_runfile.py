"""What a run leaves for those who come after."""

from pathlib import Path

import msgspec
import pytest

from recorder.errors import StoreError
from recorder.model import Gap
from recorder.store.layout import runs_folder
from recorder.store.runfile import (
    OpenInterval,
    RunFile,
    RunState,
    encode_heartbeat,
    heartbeat_path,
    read_run_file,
    read_run_files,
    run_path,
)


GAP = Gap(
    gap_id="g",
    market="A",
    stream="trades",
    job="j",
    scope="rows",
    reason="connect_lost",
    started_at=5,
)
SAID = RunFile(
    run="r1",
    job="any / text",
    source="gate_spot",
    pid=7,
    started_at=1,
    through_ns=10,
    state=RunState((OpenInterval(None, "status", 3),), (GAP,)),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    runs_folder(tmp_path).mkdir(parents=True)
    run_path(tmp_path, "r1").write_bytes(msgspec.json.encode(SAID))
    return tmp_path


def test_a_run_file_is_read_back_as_it_was_written(root: Path) -> None:
    assert read_run_file(root, "r1") == SAID


@pytest.mark.parametrize(
    ("beat", "through_ns"),
    [
        (encode_heartbeat(25), 25),
        (encode_heartbeat(5), 10),  # a power cut took the newest one
        (b"", 10),
        (b"\0" * 20, 10),
    ],
)
def test_the_newer_of_file_and_heartbeat_counts(
    root: Path, beat: bytes, through_ns: int
) -> None:
    heartbeat_path(root, "r1").write_bytes(beat)

    assert read_run_file(root, "r1") == msgspec.structs.replace(
        SAID, through_ns=through_ns
    )


def test_all_heartbeats_have_the_same_size() -> None:
    assert {len(encode_heartbeat(n)) for n in (0, 1, 1_700_000_000_000_000_000)} == {32}


def test_run_files_are_read_oldest_first(root: Path) -> None:
    older = msgspec.structs.replace(SAID, run="r0")
    run_path(root, "r0").write_bytes(msgspec.json.encode(older))

    assert read_run_files(root) == (older, SAID)
    assert read_run_files(root / "nowhere") == ()
    assert read_run_file(root, "r2") is None


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"run":1}', b"\0" * 99])
def test_a_broken_run_file_is_told_by_name(root: Path, content: bytes) -> None:
    run_path(root, "r1").write_bytes(content)

    with pytest.raises(StoreError, match=r"r1\.json cannot be read"):
        read_run_file(root, "r1")


def test_a_run_file_that_cannot_be_read_now_is_an_error_of_the_store(
    tmp_path: Path,
) -> None:
    path = run_path(tmp_path, "r1")
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(SAID))
    beat = heartbeat_path(tmp_path, "r1")
    beat.symlink_to(tmp_path / ("x" * 300))  # a name that no file can have

    with pytest.raises(StoreError, match=f"cannot read {beat}"):
        read_run_file(tmp_path, "r1")

    beat.unlink()
    assert read_run_file(tmp_path, "r1") is not None
