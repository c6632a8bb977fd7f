"""What others wrote and we compare ourselves with, in environments of their own.

An environment is made the first time a peer is asked for; its versions are
those of ``scripts/constraints-bench.txt``. A peer is a process that is told
by lines on its standard input and answers with a line: CPU seconds, read
from its own clock. So it runs in turn with what it is compared with.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple


ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-bench"

PEERS = {
    "cryptofeed": "cryptofeed==2.4.1",
    "hftbacktest": "hftbacktest==2.4.4",
    "order_book": "order_book==0.6.1",
    "sortedcontainers": "sortedcontainers==2.4.0",
}
"""What to install, by the name of the peer."""

_MAKE = """
. scripts/_environment
constraints=scripts/constraints-bench.txt make_environment "$1" "$2"
"""


class AbsentPeerError(RuntimeError):
    """A peer that cannot be measured, and why."""


class Peer:
    """A peer that runs.

    Args:
        name: Its name.
        process: Its process.
    """

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name = name
        self._process = process

    def ask(self, line: str = "run") -> float:
        """Tell it to do something; return the CPU seconds that it took."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return sum(map(float, self.answer().split()))

    def answer(self) -> str:
        """Return its next line.

        Raises:
            AbsentPeerError: If it ended.
        """
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.strip():
                return line.strip()
        raise AbsentPeerError(f"{self._name} ended without an answer")


class Answers(NamedTuple):
    """Peers that can be measured, and why others cannot.

    Attributes:
        running: By name.
        absent: Why not, by name.
    """

    running: dict[str, Peer]
    absent: dict[str, str]


def python_of(name: str) -> Path:
    """Return the Python of an environment that has a peer, made if need be.

    Raises:
        AbsentPeerError: If it cannot be installed.
    """
    folder = ENVIRONMENTS / name
    if not folder.exists():
        print(f"installing {PEERS[name]}, the first time only", file=sys.stderr)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _MAKE, "bash", str(folder), PEERS[name]],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        why = (told or done.stderr.splitlines() or ["no reason was given"])[-1]
        raise AbsentPeerError(f"{PEERS[name]} cannot be installed: {why}")
    return folder / "bin" / "python"


@contextmanager
def peer(name: str, script: str, arguments: Sequence[object]) -> Iterator[Peer]:
    """Run a peer until the end of the block.

    Args:
        name: Its name.
        script: The module that speaks with it, beside this one.
        arguments: What the module is told.

    Raises:
        AbsentPeerError: If it cannot be installed, or ends at once.
    """
    command = [python_of(name), Path(__file__).with_name(f"{script}.py"), *arguments]
    with subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        runs = Peer(name, process)
        runs.answer()
        yield runs


@contextmanager
def all_peers(
    wanted: dict[str, tuple[str, Sequence[object]]],
) -> Iterator[Answers]:
    """Run those of several peers that can be.

    Args:
        wanted: By the peer's name, its module and what it is told.
    """
    found = Answers({}, {})
    with ExitStack() as stack:
        for name, (script, arguments) in wanted.items():
            try:
                running = stack.enter_context(peer(name, script, arguments))
                found.running[name] = running
            except AbsentPeerError as error:
                found.absent[name] = str(error)
        yield found
