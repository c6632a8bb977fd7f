"""The subcommands of `scripts/bench`, each a module of its own.

A module offers ``main(argv) -> int | None``. It is imported only when it is
asked for: some need packages that the project does not depend on.
"""

import sys
from collections.abc import Sequence
from importlib import import_module


COMMANDS = {
    "ingest": "P1 and P2: from the socket to Arrow and to Parquet",
    "replay": "P4a and P4b: order books from the store",
}
"""What can be measured, by the name of its module."""


def main(argv: Sequence[str]) -> int:
    """Run the subcommand that is named first; return the exit code."""
    name = argv[0] if argv else ""
    if name in COMMANDS:
        module = import_module(f"benchmarks.{name}")
        return module.main(list(argv[1:])) or 0
    is_asked = name in ("-h", "--help")
    print(_usage(), file=sys.stdout if is_asked else sys.stderr)
    return 0 if is_asked else 2


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {doc}" for name, doc in COMMANDS.items()]
    return "\n".join(["usage: scripts/bench SUBCOMMAND [--help | options]", "", *lines])
