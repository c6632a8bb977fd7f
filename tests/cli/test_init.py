import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from recorder import __version__
from recorder.cli import COMMANDS, cli, exit_code
from recorder.errors import (
    ConfigError,
    JobRunningError,
    QueryError,
    RecorderError,
    StoreError,
    ThrottledError,
    TransportError,
)


OURS = [name for name in COMMANDS if name not in ("capture", "demo")]


def test_help_names_every_command_and_imports_none():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from recorder.cli import cli\n"
        "print(CliRunner().invoke(cli, ['--help']).output)\n"
        "print([m for m in sys.modules if m.startswith('recorder.cli.')\n"
        "       and m != 'recorder.cli.stdio' or m in ('duckdb', 'pyarrow', 'rich', 'msgspec', 'asyncio')])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    help_text, _, imported = done.stdout.rstrip().rpartition("\n")
    assert imported == "[]"
    for name, command in COMMANDS.items():
        assert f"  {name} " in help_text
        assert command.help in help_text


def test_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['recorder', '--help']\n"
        "from recorder.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )

    finished = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )

    loaded = set(finished.stdout.splitlines()[-1].split())
    assert "click" in loaded
    heavy = {
        "aiohttp",
        "asyncio",
        "duckdb",
        "msgspec",
        "numba",
        "numpy",
        "pyarrow",
        "rich",
    }
    assert not loaded & heavy


@pytest.mark.parametrize("name", OURS)
def test_every_command_has_help_with_an_example(run, name):
    result = run(name, "--help")

    assert result.exit_code == 0
    assert f"recorder {name}" in result.output
    assert "Example" in result.output
    assert "\\b" not in result.output
    assert "<source>" not in result.output


def test_the_version_is_that_of_the_package(run):
    assert run("--version").output == f"recorder, version {__version__}\n"


def test_an_unknown_command_is_answered_with_the_one_that_was_meant(run):
    result = run("replai")

    assert result.exit_code == 2
    assert "No such command 'replai'. Did you mean 'replay'?" in result.stderr


def test_a_command_like_no_other_is_just_refused(run):
    result = run("xyzzy")

    assert result.exit_code == 2
    assert "No such command 'xyzzy'." in result.stderr
    assert "Did you mean" not in result.stderr


def test_other_programs_can_ask_for_the_commands():
    context = click.Context(cli)

    assert cli.list_commands(context) == list(COMMANDS)
    assert cli.get_command(context, "info").name == "info"
    assert cli.get_command(context, "xyzzy") is None


def test_an_unknown_option_is_wrong_usage(run):
    assert run("--nothing").exit_code == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (JobRunningError("job", "pid 1"), 75),
        (QueryError("x"), 1),
        (StoreError("x"), 1),
        (TransportError("x"), 1),
        (ThrottledError(3.0), 1),
        (RecorderError("x"), 1),
    ],
)
def test_each_error_has_its_exit_code_and_is_one_sentence(
    error, code, monkeypatch, run
):
    @click.command()
    def info():
        raise error

    monkeypatch.setattr("recorder.cli.info.info", info)

    result = run("info")

    assert result.exit_code == code
    assert exit_code(error) == code
    assert result.stdout == ""
    assert result.stderr == f"Error: {error}\n"


def test_an_interrupt_is_no_traceback(monkeypatch, run):
    @click.command()
    def info():
        raise KeyboardInterrupt

    monkeypatch.setattr("recorder.cli.info.info", info)

    result = run("info")

    assert result.exit_code == 130
    assert result.output == ""


def test_a_mistake_of_ours_is_not_hidden(monkeypatch):
    @click.command()
    def info():
        raise ZeroDivisionError

    monkeypatch.setattr("recorder.cli.info.info", info)

    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(cli, ["info"], catch_exceptions=False)


def test_a_reader_that_has_seen_enough_ends_the_output_quietly(maker):
    maker.segment([maker.trade(n) for n in range(20_000)])
    command = [sys.executable, "-c", "from recorder.cli import main; main()", "sql"]
    command += ["FROM trades", "--format", "csv", "--store", str(maker.root)]

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        first = process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
        process.wait(timeout=30)

    assert first.startswith(b"ts_recv,ts_event,market,")
    assert error == b""
    assert process.returncode == 141


def test_a_reader_that_never_looks_ends_the_output_quietly(maker):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from recorder.cli import main; main()", "schema"]

    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)

    assert done.stderr == b""
    assert done.returncode == 141


def test_exit_codes_of_a_process(maker, tmp_path, run_process):
    good = run_process("sql", "SELECT 1 AS x", "--store", maker.root, "--format", "csv")
    bad_sql = run_process("sql", "SELEC", "--store", maker.root)
    no_store = run_process("sql", "SELECT 1", "--store", tmp_path / "none")
    usage = run_process("sql")

    assert (good.returncode, good.stdout, good.stderr) == (0, "x\n1\n", "")
    assert (bad_sql.returncode, bad_sql.stdout) == (1, "")
    assert bad_sql.stderr.startswith("Error: Parser Error: syntax error")
    assert no_store.returncode == 2
    assert no_store.stderr == (
        f"Error: there is no store at {tmp_path / 'none'}; "
        "give the folder of a capture as --store\n"
    )
    assert usage.returncode == 2
    assert "Traceback" not in bad_sql.stderr + no_store.stderr + usage.stderr


def test_the_default_store_is_data_here(maker, run, monkeypatch):
    maker.segment([maker.trade(1)])
    maker.root.rename(maker.root.with_name("data"))
    monkeypatch.chdir(Path(maker.root).parent)

    result = run("sql", "SELECT trade_id FROM trades", "--format", "csv")

    assert result.output == "trade_id\n1\n"
