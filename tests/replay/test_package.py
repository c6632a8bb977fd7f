"""The public names of the package, and what importing it costs."""

import subprocess
import sys

import pytest

from recorder import replay


def test_the_public_names_are_there_and_no_others():
    assert [name for name in replay.__all__ if not hasattr(replay, name)] == []
    with pytest.raises(AttributeError, match="no attribute 'rewind'"):
        replay.rewind  # noqa: B018 - that it fails is the point


def test_an_order_book_needs_neither_arrow_nor_compiled_code():
    code = (
        "import sys; from recorder.replay import OrderBook; OrderBook();"
        "print({'numba', 'pyarrow', 'numpy', 'duckdb', 'asyncio'} & sys.modules.keys())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert done.stdout == "set()\n"
