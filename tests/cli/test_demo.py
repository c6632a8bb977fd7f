"""The demo, as a newcomer types it."""

import re
import subprocess
import sys

from click.testing import CliRunner

from recorder.cli import cli


PROGRAM = [sys.executable, "-c", "from recorder.cli import main; main()"]


def test_the_demo_ends_well_and_its_next_commands_work(tmp_path):
    finished = subprocess.run(
        [*PROGRAM, "demo", "--seconds", "6"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert finished.returncode == 0, finished.stdout + finished.stderr
    states = re.search(r"(\d+) of (\d+) book states equal", finished.stdout)
    assert states is not None
    assert states[1] == states[2] != "0"
    assert "0 are lost in silence" in finished.stdout
    assert "connect_lost" in finished.stdout
    assert "sequence_gap" in finished.stdout
    following = re.findall(r"^  recorder (.*)$", finished.stdout, re.MULTILINE)
    assert len(following) == 3
    for command in following:
        again = subprocess.run(
            f'{PROGRAM[0]} -c "{PROGRAM[2]}" {command}',
            shell=True,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert again.returncode == 0, again.stderr


def test_the_demo_does_not_touch_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "mine").write_text("precious")

    result = CliRunner().invoke(cli, ["demo", "--store", str(tmp_path)])

    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert (tmp_path / "mine").read_text() == "precious"
