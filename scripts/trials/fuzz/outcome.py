"""What became of frames, told from the store and from what their feed said of them."""

import json  # noqa: TID251 - shares nothing with the decoders
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from recorder.errors import WireError
from recorder.model import TABLE_OF, Chain, DepthUpdate, Kline, StatusEvent, Trade
from recorder.source import Said, Unrecognized
from recorder.store.listing import Listing
from recorder.store.tables import TABLES
from trials.fuzz.errors import FoundError


ROWS: Final = {
    table
    for table in TABLES
    if table not in ("frames", "gaps", "coverage", "connections")
}


DIGITS_READ: Final = 19

TROUBLE: Final = ("63999", "64007")
"""What OKX answers while it is in trouble inside, to be asked again."""


class Told(NamedTuple):
    """A frame, and what its feed said of it."""

    conn: str
    seq: int
    payload: bytes
    said: Said | Exception


class Stored:
    """What is in a store, by where it stood."""

    def __init__(self, listing: Listing) -> None:
        self.rows: dict[tuple[str, int, int], str] = {}
        self.frames: dict[tuple[str, int], bytes] = {}
        for name in TABLES:
            rows = listing.read(name)
            if name == "frames":
                for row in rows.select(["conn", "seq", "payload"]).to_pylist():
                    self.frames[row["conn"], row["seq"]] = row["payload"]
            elif name in ROWS:
                self._look_at(name, rows)

    def _look_at(self, name: str, rows: pa.Table) -> None:
        places = (rows[key].to_pylist() for key in ("conn", "seq", "idx"))
        for place in zip(*places, strict=True):
            if place in self.rows:
                raise FoundError(f"{place} is stored twice, in {name}")
            self.rows[place] = name
        for field in rows.schema:
            for numbers in _doubles_of(rows[field.name]):
                if not pc.all(pc.is_finite(numbers)).as_py() and len(numbers):
                    raise FoundError(f"{name}.{field.name} holds what is no number")


def _doubles_of(column: pa.ChunkedArray) -> list[Any]:
    """Return the numbers of a column, and of levels."""
    if pa.types.is_list(column.type):
        found = []
        for chunk in column.chunks:
            flat = chunk.flatten()
            found += [flat.field(place) for place in range(flat.type.num_fields)]
        return [one.drop_null() for one in found]
    return [column.drop_null()] if pa.types.is_floating(column.type) else []


class Seen:
    """What was said before: what comes again need not be stored again."""

    def __init__(self) -> None:
        self._trades: set[tuple[str, int | None]] = set()
        self._told: set[tuple[str, str | None, str]] = set()
        self._klines: dict[tuple[Any, ...], str] = {}
        self._depths: dict[Chain, int] = {}

    def is_double(self, event: object, conn: str) -> bool:
        """Return whether an event may have been stored before; note it."""
        match event:
            case Trade():
                trade = event.market, event.trade_id
                is_double = trade[1] is not None and trade in self._trades
                self._trades.add(trade)
            case StatusEvent():
                # Its feed may say that two are the same that are not alike.
                is_double = bool(self._told)
                self._told.add((event.kind, event.state, event.payload))
            case Kline():
                # The time is that of the push: another connection has its own.
                key = msgspec.structs.astuple(
                    msgspec.structs.replace(event, ts_event=None)
                )
                is_double = self._klines.get(key, conn) != conn
                self._klines[key] = conn
            case DepthUpdate():
                chain = Chain(event.market, event.stream)
                last = event.last_update_id
                is_double = last is not None and last <= self._depths.get(chain, -1)
                if last is not None:
                    self._depths[chain] = max(last, self._depths.get(chain, -1))
            case _:
                is_double = False
        return is_double


def became(told: Told, stored: Stored, seen: Seen) -> str:
    """Return what became of a frame.

    Raises:
        FoundError: If it left nothing, or something else.
    """
    kept = stored.frames.get((told.conn, told.seq))
    if kept is not None and kept != told.payload:
        raise FoundError(f"{told} was kept as {kept!r}")
    if isinstance(told.said, Exception):
        if not isinstance(told.said, WireError):
            raise FoundError(f"{told.payload!r} raised {told.said!r}")
        if kept is None:
            raise FoundError(f"{told} is undecodable, and was not kept")
        return "undecodable, kept"
    if kept is None:
        return _left(told, told.said, stored, seen)
    for item in told.said:
        seen.is_double(item, told.conn)
    return "kept"


def _left(told: Told, said: Said, stored: Stored, seen: Seen) -> str:
    """Return what became of a frame that was decoded, and not kept."""
    if any(isinstance(item, Unrecognized) for item in said):
        raise FoundError(f"{told} says what is not known, and was not kept")
    events = [(idx, item) for idx, item in enumerate(said) if type(item) in TABLE_OF]
    doubles = [seen.is_double(event, told.conn) for _, event in events]
    lost = [
        (idx, event)
        for (idx, event), is_double in zip(events, doubles, strict=True)
        if (told.conn, told.seq, idx) not in stored.rows and not is_double
    ]
    if lost:
        raise FoundError(f"{told} lost {lost}")
    if events:
        return "a row for all that it says"
    if not said and not says_nothing(told.payload):
        raise FoundError(f"{told} left nothing")
    return "an answer, or nothing said"


def says_nothing(payload: bytes) -> bool:
    """Return whether a frame holds no news.

    So do a good answer, one to be asked again, and an empty list.
    """
    try:
        frame = json.loads(payload, parse_int=_whole)
    except (ValueError, RecursionError):
        return False
    if not isinstance(frame, dict):
        return False
    method, event = frame.get("method"), frame.get("event")
    if event == "error" and frame.get("code") in TROUBLE:
        return True
    if event == "unsubscribe" or (method is None and isinstance(frame.get("id"), int)):
        return True
    places = [frame.get(key) for key in ("result", "data", "params")]
    # Rows of v3 follow their market.
    places += [
        part for place in places if isinstance(place, list) for part in place[1:2]
    ]
    return any(place == [] or place == [[]] for place in places)


def _whole(digits: str) -> int:
    """Return some number: which, does not matter, and Python reads no longer ones."""
    return int(digits[:DIGITS_READ])
