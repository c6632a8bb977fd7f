"""The demo, as a newcomer types it."""

import re
import subprocess
import sys

from click.testing import CliRunner

from recorder.cli import cli
from recorder.cli.demo import MISHAPS, not_lost
from recorder.simulator import faults
from recorder.simulator.truth import FaultDone


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
    pushed = re.search(r"(\d+) of (\d+) other rows", finished.stdout)
    assert pushed is not None
    others = re.search(
        r"right, (\d+) lies? in a gap .* (\d+) repeats?", pushed.string[pushed.end() :]
    )
    assert others is not None
    assert int(pushed[1]) > 0
    assert int(pushed[1]) + int(others[1]) + int(others[2]) == int(pushed[2])
    assert re.search(r"not_started .*│ before recording began", finished.stdout)
    gaps = re.search(r"(\d+) of (\d+) gaps that the faults must", finished.stdout)
    assert gaps is not None
    assert gaps[1] == gaps[2] != "0"
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
        if command.startswith("sql"):
            assert 0 < max(map(len, again.stdout.splitlines())) <= 80


def test_a_loss_that_was_promised_and_did_not_happen_is_told():
    drop = FaultDone(ts_ns=1, name="drop", feed="v4", conn=1)
    abort = FaultDone(ts_ns=2, name="abort", feed="v4", conn=1)

    assert not_lost([drop, abort]) == []
    [missing] = not_lost([drop])
    assert missing.startswith("the exchange did not come to lose a connection")
    assert "--seconds" in missing
    assert len(not_lost([])) == len(MISHAPS) == 2


def test_a_demo_that_lost_nothing_fails_and_says_so(tmp_path, monkeypatch):
    parse = faults.parse
    monkeypatch.setattr(
        faults, "parse", lambda text: parse(text.replace("abort:at=", "abort:at=99"))
    )

    result = CliRunner().invoke(
        cli, ["demo", "--seconds", "4", "--store", str(tmp_path / "store")]
    )

    assert result.exit_code == 1
    assert "did not come to lose a connection on purpose" in result.output


def test_the_demo_does_not_touch_a_folder_with_something_in_it(tmp_path):
    (tmp_path / "mine").write_text("precious")

    result = CliRunner().invoke(cli, ["demo", "--store", str(tmp_path)])

    assert result.exit_code == 2
    assert "is not empty" in result.output
    assert (tmp_path / "mine").read_text() == "precious"
