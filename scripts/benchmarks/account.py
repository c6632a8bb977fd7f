"""What became of every frame that was sent, by the store alone.

A row is known by its market and its last id, whatever the round of the
sender in which it was sent; so each frame is found once, twice or not at all.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.made_frames import Load
from benchmarks.report import WrongAnswerError
from benchmarks.sender import Poured
from recorder.model import parse_levels
from recorder.store.listing import Listing, open_listing
from recorder.store.revisions import newest_revisions, plain_rows


SAMPLE_EVERY = 997
"""One frame in so many is compared level by level."""

SAMPLED_FILES = 20
"""Of so many files, about."""

EXPECTED_GAPS = ("not_started", "process_stopped", "resync")
"""Reasons of gaps before the first frame and after the last, and until snapshots."""

_SPAN_MAX = 2**32
_DROPPED = re.compile(r"(\d+) frames were dropped")
_COLUMNS = ("market", "origin", "first_update_id", "last_update_id")

Ints = npt.NDArray[np.int64]


class Account(NamedTuple):
    """What became of the frames that were sent.

    Attributes:
        sent: How many there were.
        stored: How many of them are rows.
        named: How many, by the gaps of the store, were dropped.
        reasons: How many gaps there are of each reason that is not expected.
        bytes: Size of the segments of depth.
        files: Files in the store.
        is_end_stored: Whether all frames of the last third of the last pour are
            rows.
    """

    sent: int
    stored: int
    named: int
    reasons: dict[str, int]
    bytes: int
    files: int
    is_end_stored: bool

    @property
    def unaccounted(self) -> int:
        """Frames that are no rows, and of which no gap tells; or the reverse."""
        return abs(self.sent - self.stored - self.named)

    def must_be_whole(self) -> None:
        """Raise `WrongAnswerError` if anything is missing."""
        if self.sent != self.stored or self.reasons:
            raise WrongAnswerError(
                f"{self.sent} frames were sent, {self.stored} are stored, "
                f"{self.named} dropped; gaps: {self.reasons or 'none'}"
            )


class Frames:
    """The frames of a load, found by the ids of rows."""

    def __init__(self, load: Load) -> None:
        ids = np.array(load.ids, np.int64)
        self.load = load
        self.spans = load.spans()
        self.before_ids = np.array([book[0] for book in load.books], np.int64)
        self._firsts = ids[:, 1] - self.before_ids[ids[:, 0]]
        keys = ids[:, 0] * _SPAN_MAX + ids[:, 2] - self.before_ids[ids[:, 0]]
        self._order = np.argsort(keys)
        self._keys = keys[self._order]

    def numbers(self, markets: Ints, firsts: Ints, lasts: Ints) -> Ints:
        """Return the number of each frame, counted over all rounds.

        Raises:
            WrongAnswerError: If there is no such frame.
        """
        spans = self.spans[markets]
        behind = lasts - self.before_ids[markets]
        turns = (behind - 1) // spans
        keys = markets * _SPAN_MAX + behind - turns * spans
        places = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
        found = self._order[places]
        first_behind = firsts - self.before_ids[markets] - turns * spans
        is_wrong = (self._keys[places] != keys) | (self._firsts[found] != first_behind)
        if is_wrong.any():
            raise WrongAnswerError(f"{is_wrong.sum()} rows have ids that nobody sent")
        return turns * self._order.size + found


def account(store: Path, load: Load, poured: Sequence[Poured]) -> Account:
    """Look for every frame that was sent.

    Args:
        store: The store, no longer written to.
        load: What the sender sends in rounds.
        poured: What was sent, one pour after another.

    Raises:
        WrongAnswerError: If a row is not as it was sent, or stored twice.
    """
    listing = open_listing(store)
    if listing.journals("depth") or listing.read("frames").num_rows:
        raise WrongAnswerError("a journal is left, or frames are kept verbatim")
    first, sent = poured[0].first, sum(pour.frames for pour in poured)
    seen = np.zeros(sent, np.int64)
    frames = Frames(load)
    files = [segment.path for segment in listing.segments("depth")]
    sampled = files[:: max(1, len(files) // SAMPLED_FILES)]
    for path in files:
        live, rows = _numbers(path, frames)
        numbers = live - first
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < sent:
            raise WrongAnswerError(f"{path.name} has rows that were not sent")
        seen += np.bincount(numbers, minlength=sent)
        if path in sampled:
            _compare(path, rows, live, load)
    if (seen > 1).any():
        raise WrongAnswerError(f"{(seen > 1).sum()} frames are stored twice")
    named, reasons = _gaps(listing)
    return Account(
        sent=sent,
        stored=int(seen.sum()),
        named=named,
        reasons=reasons,
        bytes=sum(path.stat().st_size for path in files),
        files=sum(path.is_file() for path in store.rglob("*")),
        is_end_stored=bool(seen[-max(1, poured[-1].frames // 3) :].all()),
    )


def _numbers(path: Path, frames: Frames) -> tuple[Ints, Ints]:
    """Return the number of each frame that a file holds, and its row."""
    rows = pq.ParquetFile(path).read(columns=list(_COLUMNS))
    codes: Any = rows["market"].combine_chunks()
    names = {market: number for number, market in enumerate(frames.load.markets)}
    markets = np.array([names[x] for x in codes.dictionary.to_pylist()], np.int64)
    is_live = np.array(rows["origin"].to_pylist()) == "live"
    live = rows.filter(pa.array(is_live))
    ids = [live[name].to_numpy() for name in _COLUMNS[2:]]
    of_rows = markets[codes.indices.to_numpy()][is_live]
    return frames.numbers(of_rows, *ids), np.flatnonzero(is_live)


def _compare(path: Path, rows: Ints, numbers: Ints, load: Load) -> None:
    """Hold the levels of some rows of a file to what was sent."""
    chosen = numbers % SAMPLE_EVERY == 0
    levels = pq.ParquetFile(path).read(columns=["bids", "asks"])
    taken = levels.take(pa.array(rows[chosen]))
    sides = [taken[side].to_pylist() for side in ("bids", "asks")]
    stored = [
        tuple(tuple((x["price"], x["amount"]) for x in side) for side in pair)
        for pair in zip(*sides, strict=True)
    ]
    sent = [_levels(load.frames[i % len(load.frames)]) for i in numbers[chosen]]
    if stored != sent:
        raise WrongAnswerError(f"{path.name} has levels that are not as sent")


def _gaps(listing: Listing) -> tuple[int, dict[str, int]]:
    """Return how many frames gaps say were dropped, and what reasons they have."""
    named = 0
    reasons: dict[str, int] = {}
    for gap in newest_revisions(plain_rows(listing.read("gaps"))):
        if gap.reason in EXPECTED_GAPS:
            continue
        reasons[gap.reason] = reasons.get(gap.reason, 0) + 1
        told = _DROPPED.match(gap.detail or "")
        named += int(told[1]) if told else 0
    return named, reasons


class _Sides(msgspec.Struct):
    b: msgspec.Raw
    a: msgspec.Raw


class _Frame(msgspec.Struct):
    result: _Sides


def _levels(frame: bytes) -> tuple[object, object]:
    sides = msgspec.json.decode(frame, type=_Frame).result
    return parse_levels(sides.b), parse_levels(sides.a)
