"""Stored rows as events: from Arrow columns to the values of `recorder.model`."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import pyarrow as pa

from recorder.model import (
    Balance,
    Bbo,
    ContractStats,
    DepthUpdate,
    Gap,
    Kline,
    Liquidation,
    Market,
    Order,
    Row,
    StatusEvent,
    Ticker,
    Trade,
)
from recorder.store.tables import TABLES


EVENTS: Final[dict[str, Any]] = {
    "trades": Trade,
    "depth": DepthUpdate,
    "klines": Kline,
    "tickers": Ticker,
    "bbo": Bbo,
    "liquidations": Liquidation,
    "contract_stats": ContractStats,
    "status": StatusEvent,
    "markets": Market,
    "orders": Order,
    "balances": Balance,
    "gaps": Gap,
}
"""The class of the events that the rows of a table become."""

BATCH_ROWS: Final = 4096
"""Rows that are Python objects at a time."""


def events(table: str, rows: pa.Table) -> Iterator[Row]:
    """Yield stored rows in their order.

    Args:
        table: Name of the table.
        rows: All of its columns, and ``source``.
    """
    made = EVENTS[table]
    stored = set(TABLES[table].schema.names)
    fields = [name for name in made.__struct_fields__ if name in stored]
    for start in range(0, rows.num_rows, BATCH_ROWS):
        batch = rows.slice(start, BATCH_ROWS)
        columns = [_values(batch[name]) for name in fields]
        places = [
            _values(batch[name]) for name in ("source", "ts_recv", "conn", "seq", "idx")
        ]
        for place, values in zip(
            zip(*places, strict=True), zip(*columns, strict=True), strict=True
        ):
            source, ts_recv, conn, seq, idx = place
            yield Row(
                source=source,
                ts_recv=ts_recv,
                conn=conn,
                seq=seq,
                idx=idx,
                event=made(**dict(zip(fields, values, strict=True))),
            )


def _values(column: Any) -> list[Any]:
    """Return a column as Python values: times as integers, levels as pairs."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    elif pa.types.is_dictionary(kind):
        texts = column.combine_chunks()
        names = [*texts.dictionary.to_pylist(), None]
        return [names[code] for code in texts.indices.fill_null(-1).to_numpy()]
    elif pa.types.is_list(kind):
        return _lists(column)
    if column.null_count == 0 and not pa.types.is_string(kind):
        values: list[Any] = column.to_numpy().tolist()
        return values
    return list(column.to_pylist())


def _lists(column: Any) -> list[Any]:
    if not pa.types.is_struct(column.type.value_type):
        return [None if texts is None else tuple(texts) for texts in column.to_pylist()]
    lists = column.combine_chunks()
    offsets = lists.offsets.to_pylist()
    prices, amounts = lists.values[offsets[0] : offsets[-1]].flatten()
    levels = list(
        zip(prices.to_numpy().tolist(), amounts.to_numpy().tolist(), strict=True)
    )
    first = offsets[0]
    return [
        tuple(levels[start - first : end - first]) for start, end in pairwise(offsets)
    ]
