"""What is left of a run that died before the account of its job was its own.

Its messages are stored after the last ones of the run before it
(`recorder.capture.held_depth`). Where the account was laid down, a replay goes on
from one to the other by their ids. Where it was not, the book is lost between
them, and older messages would show books that were there earlier: they are marked
as some that no replay applies.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recorder.model import Chain
from recorder.store.layout import SECOND_NS
from recorder.store.listing import Listing
from recorder.store.revisions import plain_rows
from recorder.store.runfile import RunFile
from recorder.transitions import NO_ID


LOOK_BACK_NS: Final = 600 * SECOND_NS
"""How far back the last message of a quiet market is looked for."""


class Last(NamedTuple):
    """The last message of a chain that the other run stored.

    Attributes:
        update_id: The last id in it.
        at: When the last one was received, nanoseconds.
        is_image: Whether the one with that id is a snapshot that came on the socket.
    """

    update_id: int
    at: int
    is_image: bool = False


def read_last(
    listing: Listing, source: str, run: str, since: int, until: int | None = None
) -> dict[Chain, Last]:
    """Return the last message of each chain that other runs stored.

    Args:
        listing: The store.
        source: Name of the feed.
        run: Id of the run whose messages are left out.
        since: When that run began, nanoseconds.
        until: First instant after those messages; None for all.

    Raises:
        StoreError: If the store cannot be read.
    """
    rows = listing.read(
        "depth",
        source=source,
        start_ns=since - LOOK_BACK_NS,
        end_ns=until,
        columns=[
            *("ts_recv", "market", "conn", "stream", "last_update_id"),
            *("is_snapshot", "origin"),
        ],
    )
    rows = rows.filter(pc.is_valid(rows["last_update_id"]))
    reach: dict[Chain, list[Last]] = defaultdict(list)
    for row in plain_rows(rows):
        if not str(row["conn"]).startswith(f"{run}."):
            chain = Chain(str(row["market"]), str(row["stream"]))
            ids, at = row["last_update_id"], row["ts_recv"]
            is_image = bool(row["is_snapshot"]) and row["origin"] == "live"
            reach[chain].append(Last(int(str(ids)), int(str(at)), is_image))
    return {
        chain: max(found)._replace(at=max(last.at for last in found))
        for chain, found in reach.items()
    }


def has_account(listing: Listing, said: RunFile) -> bool:
    """Return whether a run has written rows of gaps of its own.

    Args:
        listing: The store.
        said: What its run file says.

    Raises:
        StoreError: If the store cannot be read.
    """
    rows = listing.read(
        "gaps", source=said.source, start_ns=said.started_at, columns=["conn"]
    )
    own = f"{said.run}.ledger"
    return any(row["conn"] == own for row in plain_rows(rows))


def is_unlaid(listing: Listing, said: RunFile) -> bool:
    """Return whether a run that died never had the account of its job.

    Raises:
        StoreError: If the store cannot be read.
    """
    return said.is_beside and not has_account(listing, said)


def change_of_depth(
    listing: Listing, said: RunFile
) -> Callable[[pa.Table], pa.Table] | None:
    """Return what becomes of rows of ``depth`` in the journals of a dead run.

    Until the run file says that the account is its own, that run covers nothing:
    the book is lost where the other ended, whatever else is on the disk.

    Returns:
        None if they stay as they are.

    Raises:
        StoreError: If the store cannot be read.
    """
    if not said.is_beside:
        return None
    times = said.started_at, said.through_ns + 1
    lasts = read_last(listing, said.source, said.run, *times)
    return partial(_without_older, lasts=lasts)


def _without_older(rows: pa.Table, lasts: Mapping[Chain, Last]) -> pa.Table:
    """Return rows with those marked that are not newer than what others had."""
    (markets, named), (streams, spelt) = (_codes(rows[n]) for n in ("market", "stream"))
    limits = np.full((len(named), len(spelt)), NO_ID)
    for chain, last in lasts.items():
        if chain.market in named and chain.stream in spelt:
            place = named.index(chain.market), spelt.index(chain.stream)
            limits[place] = last.update_id
    ids = rows["last_update_id"].fill_null(pa.scalar(NO_ID)).to_numpy()
    is_older = (ids != NO_ID) & (ids <= limits[markets, streams])
    if not is_older.any():
        return rows
    number = rows.schema.get_field_index("origin")
    origins = pc.if_else(pa.array(is_older), "beside", rows["origin"])
    return rows.set_column(number, rows.schema.field(number), origins)


def _codes(column: Any) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return a text column as numbers, and what each number stands for."""
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
