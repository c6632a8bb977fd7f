"""What the documents say is true: their commands run, nothing is left out."""

import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from recorder.cli import COMMANDS, cli
from recorder.store.tables import TABLES


ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PROGRAM = [sys.executable, "-c", "from recorder.cli import main; main()"]
SETUP = ("scripts/demo", "scripts/check")
PORT = "8765"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("recorder ")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def adapted(command: list[str], port: int) -> list[str]:
    """Return a command for the exchange of this test, and a short one."""
    words = [word.replace(PORT, str(port)) for word in command[1:]]
    is_remote = words[0] in {"capture", "probe"} and "--config" not in words
    if is_remote and "--ws-url" not in words:
        words += ["--ws-url", f"ws://127.0.0.1:{port}/ws/v4/"]
        words += ["--rest-url", f"http://127.0.0.1:{port}/api/v4"]
    if "--align" in words:
        begin = words.index("--align")
        words[begin : begin + 2] = ["--duration", "3s"]
    if words[0] == "capture":
        words[words.index("--duration") + 1] = "3s"
    elif words[0] == "probe":
        words += ["--seconds", "2"]
    return words


def localize(path: Path, port: int) -> None:
    """Have the feeds of a configuration file recorded from this test's exchange."""
    feed = 'source = "gate_spot"\n'
    text = path.read_text()
    assert feed in text
    addresses = (
        f'ws_url = "ws://127.0.0.1:{port}/ws/v4/"\n'
        f'rest_url = "http://127.0.0.1:{port}/api/v4"\n'
    )
    path.write_text(text.replace(feed, feed + addresses))


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the simulator did not start")


def test_every_command_and_snippet_of_the_readme_runs(tmp_path):
    port = free_port()
    simulate = next(c for c in commands() if c[1] == "simulate")
    exchange = subprocess.Popen(
        [*PROGRAM, *adapted(simulate, port)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        for command in commands():
            if command is simulate or command[1] == "simulate":
                continue
            run(adapted(command, port), tmp_path)
            if command[1:3] == ["config", "example"]:
                localize(tmp_path / command[-1], port)
        for snippet in blocks("python"):
            finished = subprocess.run(
                [sys.executable, "-c", snippet],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert finished.returncode == 0, finished.stderr
            assert finished.stdout
    finally:
        exchange.terminate()
        exchange.wait()


def run(words: list[str], folder: Path) -> None:
    finished = subprocess.run(
        [*PROGRAM, *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, (words, finished.stderr)


def test_the_configuration_of_the_readme_is_right(tmp_path):
    (text,) = blocks("toml")
    (tmp_path / "recorder.toml").write_text(text)

    result = CliRunner().invoke(
        cli, ["config", "check", str(tmp_path / "recorder.toml")]
    )

    assert result.exit_code == 0, result.stderr
    for job in ("recorder.gate_spot", "recorder.books"):
        assert job in result.stdout
        assert f"`{job}`" in README


def test_the_set_up_commands_of_the_readme_exist():
    lines = [line for block in blocks("sh") for line in block.splitlines()]

    for script in SETUP:
        assert script in lines
        assert (ROOT / script).stat().st_mode & 0o111


def test_the_ci_runs_the_readmes_test_command():
    assert "exec scripts/check" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme_and_has_a_help(name):
    result = CliRunner().invoke(cli, [name, "--help"])

    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert f"recorder {name}" in README or f"scripts/{name}" in README


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_in_the_column_reference(name):
    reference = (ROOT / "schemas" / "README.md").read_text()

    assert re.search(rf"^#+ .*\b{name}\b", reference, re.MULTILINE)
    for column in TABLES[name].columns:
        assert f"`{column.name}`" in reference


def test_links_between_documents_lead_somewhere():
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
            if "://" not in target:
                assert (ROOT / target).exists(), (document, target)
