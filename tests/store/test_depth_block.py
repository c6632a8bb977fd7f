"""Blocks of depth rows, and rows of several batches laid in one order."""

import numpy as np
import pyarrow as pa
from hypothesis import given, strategies as st

from recorder.judging.evidence import plain
from recorder.model import Chain, DepthUpdate
from recorder.store.batch import build
from recorder.store.depth_block import DepthBlock, Place, laid_together
from recorder.store.levels import levels_in_order, parse_levels_bulk
from recorder.store.tables import TABLES


def batch_of(*times):
    """Rows as they are built one by one; each market by its time."""
    return build(
        TABLES["depth"],
        [
            (
                at,
                "run.0",
                at,
                0,
                DepthUpdate(
                    market=f"M{at % 3}",
                    stream="depth:x",
                    ts_event=None,
                    is_snapshot=False,
                    first_update_id=at,
                    last_update_id=at,
                    bids=b'[["1","2"]]' if at % 2 else b"[]",
                    asks=b'[["%d","1"],["3","4"]]' % at,
                ),
                b"{}",
            )
            for at in times
        ],
    ).batch


def test_rows_of_several_batches_are_laid_in_the_order_of_their_receipt():
    laid = laid_together([batch_of(2, 5, 9), batch_of(1, 3), batch_of(7)])

    expected = batch_of(1, 2, 3, 5, 7, 9)
    tables = [pa.Table.from_batches([batch]) for batch in (laid, expected)]
    assert plain(tables[0]) == plain(tables[1])


def test_one_batch_is_left_as_it_is():
    batch = batch_of(1, 2)

    assert laid_together([batch]) is batch


def test_a_block_without_rows_is_an_empty_batch():
    block = DepthBlock("fake", [Place(Chain("A", "depth:x"), 100)])

    assert block.batch().num_rows == 0
    assert block.bytes == 0


def test_a_connection_keeps_its_number_in_a_block():
    block = DepthBlock("fake", [])

    assert [block.number_of(conn) for conn in ("a", "b", "a")] == [0, 1, 0]


LEVELS = st.lists(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)), max_size=4), max_size=9
)


@given(LEVELS, st.randoms(use_true_random=False))
def test_levels_are_taken_as_arrow_takes_them(rows, rng):
    texts = [str([list(level) for level in row]).encode() for row in rows]
    column = parse_levels_bulk(texts).column
    order = [rng.randrange(len(rows)) for _ in range(len(rows))] if rows else []

    taken = levels_in_order(column, np.array(order, np.intp))

    taken.validate(full=True)
    assert taken.to_pylist() == column.take(pa.array(order, pa.int64())).to_pylist()
