"""Compiling functions to machine code, for whoever reads many rows.

It lies with the store because the store is the lowest room that compiles;
`recorder.replay` takes it from here.
"""

from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar
from zlib import crc32

import numba


P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile, and keep the machine code if there is a folder to keep it in.

    Args:
        function: Numbers and arrays of them in and out. It runs outside the
            interpreter's lock.
    """
    try:
        dispatcher = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package nor the home is writable
        dispatcher = numba.njit(nogil=True)(function)
    return dispatcher


def fingerprint_of(functions: Iterable[Callable[..., Any]], start: int = 0) -> int:
    """Return a number that changes with the code of some functions.

    Machine code is kept by its own source file. A function that calls others, of
    other files, must have this number in its closure, which is part of what it is
    kept by: else old code of theirs could live on in it.

    Args:
        functions: Plain ones, or what numba made of them.
        start: A number that has changed if anything else has.
    """
    found = start
    for function in functions:
        code = getattr(function, "py_func", function).__code__
        said = repr((code.co_code, code.co_consts, code.co_names))
        found = crc32(said.encode(), found)
    return found
