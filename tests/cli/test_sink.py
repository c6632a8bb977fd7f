import os
import subprocess
import sys

import pytest

from recorder.cli.sink import open_sink
from recorder.errors import ConfigError, StoreError


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "out.csv"

    with open_sink(path) as sink:
        sink.write(b"half")
        sink.flush()
        assert not path.exists()
        sink.write(b" and half")

    assert path.read_bytes() == b"half and half"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_nothing_is_left_of_a_file_that_could_not_be_finished(tmp_path):
    def fail():
        with open_sink(tmp_path / "out.csv") as sink:
            sink.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_not_replaced(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")

    with pytest.raises(ConfigError, match="add --force"), open_sink(path):
        pass

    assert path.read_text() == "old"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "out.csv"

    def write_late():
        with open_sink(path) as sink:
            sink.write(b"new")
            path.write_text("other")

    with pytest.raises(ConfigError, match="exists"):
        write_late()

    assert path.read_text() == "other"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_force_replaces_a_file(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")

    with open_sink(path, force=True) as sink:
        sink.write(b"new")

    assert path.read_text() == "new"


def test_a_failed_forced_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("old")

    def fail():
        with open_sink(path, force=True) as sink:
            sink.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]


def test_a_folder_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "no" / "out.csv"

    with pytest.raises(StoreError, match=r"out\.csv: No such file or directory"):
        open_sink(path).__enter__()


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ConfigError, match="is a folder"):
        open_sink(tmp_path, force=True).__enter__()


def test_a_full_disk_is_the_machines_fault(tmp_path):
    def fill():
        with open_sink(tmp_path / "out.csv"):
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match=r"cannot write .*No space left"):
        fill()

    assert list(tmp_path.iterdir()) == []


def test_without_a_file_the_result_goes_to_stdout(capfdbinary):
    with open_sink(None) as sink:
        sink.write(b"result")
        sink.flush()

    assert capfdbinary.readouterr().out == b"result"


def test_bytes_and_texts_keep_their_order_in_a_pipe():
    code = (
        "from recorder.cli import stdio\n"
        "from recorder.cli.sink import open_sink\n"
        "from recorder.cli.tables import show\n"
        "stdio.install()\n"
        "show('one')\n"
        "with open_sink(None) as sink:\n"
        "    sink.write(b'two\\n')\n"
        "show('three')\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["one", "two", "three"]


@pytest.fixture
def pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


def test_a_pipe_is_written_and_not_replaced(pipe):
    path, reader = pipe

    with open_sink(path) as sink:
        sink.write(b"result")

    assert os.read(reader, 100) == b"result"
    assert path.is_fifo()
    assert [p.name for p in path.parent.iterdir()] == ["pipe"]


def test_a_pipe_that_nobody_reads_any_more_is_told_as_that(pipe):
    path, _ = pipe

    def fail():
        with open_sink(path):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        fail()
