"""The subcommands of `scripts/bench`, each a module of its own.

A module offers ``add_options(parser)`` and ``measure(given) -> Findings``. It
is imported only when it is asked for.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from benchmarks.options import add_common
from benchmarks.processes import begin_cheaply
from benchmarks.report import Findings, WrongAnswerError, machine


COMMANDS = {
    "ingest": "P1 and P3: from bytes to Arrow",
    "wire": "P2 and P9: from the socket to Parquet, and what is too much",
    "replay": "P4a and P4b: order books from memory and from the store",
    "markets": "P5: few markets and many",
    "memory": "P6: memory over minutes",
    "size": "P7: bytes on the disk",
    "startup": "P8: the command's start",
    "query": "SQL over a large store",
    "all": "all of them, P1 to P9 in one table",
}
"""What can be measured, by the name of its module."""


def main(argv: Sequence[str]) -> int:
    """Run the subcommand that is named first; return the exit code."""
    name = argv[0] if argv else ""
    if name == "all":
        return import_module("benchmarks.everything").main(list(argv[1:]))
    if name in COMMANDS:
        return _one(name, list(argv[1:]))
    is_asked = name in ("-h", "--help")
    print(_usage(), file=sys.stdout if is_asked else sys.stderr)
    return 0 if is_asked else 2


def _one(name: str, argv: Sequence[str]) -> int:
    given = parsed(name, argv)
    print(machine())
    try:
        found = run(name, given)
    except (WrongAnswerError, RuntimeError) as error:
        print(f"{name} was not measured: {error}", file=sys.stderr)
        return 1
    print(found.text())
    return 0


def parsed(name: str, argv: Sequence[str]) -> argparse.Namespace:
    """Return the options of a subcommand."""
    return _parser(name).parse_args(argv)


def parsed_of(
    names: Sequence[str], argv: Sequence[str]
) -> dict[str, argparse.Namespace]:
    """Return the options of several subcommands, given together.

    Each takes those that it knows; one that none of them knows ends the program.
    """
    found = {name: _parser(name).parse_known_args(argv) for name in names}
    for word in argv:
        if all(word in unknown for _, unknown in found.values()):
            _parser(names[0]).error(f"no subcommand knows {word}")
    return {name: given for name, (given, _) in found.items()}


def _parser(name: str) -> argparse.ArgumentParser:
    module = import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"scripts/bench {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_common(parser)
    module.add_options(parser)
    return parser


def run(name: str, given: argparse.Namespace) -> Findings:
    """Measure.

    Raises:
        WrongAnswerError: If what was computed is not what it must be.
        RuntimeError: If it cannot be measured.
    """
    if given.quick:
        begin_cheaply()
    found: Findings = import_module(f"benchmarks.{name}").measure(given)
    return found


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {doc}" for name, doc in COMMANDS.items()]
    return "\n".join(["usage: scripts/bench SUBCOMMAND [--help | options]", "", *lines])
