"""Compiling functions to machine code, for whoever reads many rows.

It lies with the store because the store is the lowest room that compiles;
`recorder.replay` takes it from here.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

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
