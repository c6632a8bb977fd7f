"""Frames of the plain form, many at a time: see `recorder.source.plain`.

A book whose updates simply continue it is followed by machine code alone: its last
id is kept in an array, and its rows go right into a block. As soon as anybody looks
at its `DepthChain`, or a message of it is not plain, it is given back: what the
machine code learned goes into the chain, which is followed in the usual way until
it is picked up again.
"""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from recorder.capture.books import Books
from recorder.capture.depth_chain import DepthChain
from recorder.capture.link import Link
from recorder.capture.rows import Rows
from recorder.model import Chain
from recorder.source import OPTIONAL, PARTS, PlainDepth, Source
from recorder.store.depth_block import DepthBlock, Place
from recorder.store.plain_code import (
    CONSTANT,
    EXPECTED,
    KEY_BYTES_MAX,
    KEYS_MAX,
    KINDS,
    LAST_AT,
    LEFT,
    RECENT,
    ROWS,
    STATE_FIELDS,
    TAKEN,
    TOUCHED,
    UNKNOWN,
    Names,
    read_frames,
    table_of_names,
)


RUN_MAX: Final = 512
"""Frames of one run; more are not read at once from a socket."""

RUN_MIN: Final = 3
"""Fewer frames take less time in the usual way."""

RUN_BYTES_MAX: Final = 1 << 20
"""What is longer is taken in the usual way: a block must have room for a run."""

NOT_FOLLOWED: Final = -1


class Form(NamedTuple):
    """What one connection's plain frames look like, for machine code.

    Attributes:
        shape: Keys, kinds, constants, needed keys.
        names: Of the markets.
        one_change_levels: As of `PlainDepth`.
    """

    shape: tuple[
        npt.NDArray[np.uint64],
        npt.NDArray[np.int64],
        npt.NDArray[np.uint8],
        npt.NDArray[np.uint64],
    ]
    names: Names
    one_change_levels: int


class Run(NamedTuple):
    """Frames that are read together.

    Attributes:
        form: What plain ones of their connection look like.
        stamps: Our clock when each was read, nanoseconds, one by one.
        payloads: The messages.
        sizes: Bytes of each.
        size: Bytes of all.
    """

    form: Form
    stamps: range
    payloads: Sequence[bytes]
    sizes: Sequence[int]
    size: int


class Left(NamedTuple):
    """What was left of a run.

    Attributes:
        frames: Which of them are to be taken in the usual way, in their order.
        books: Numbers of their books; one may come more than once.
    """

    frames: list[int]
    books: list[int]


class Follower:
    """Books that are followed by machine code, and may be given back.

    Args:
        books: By number.

    Attributes:
        books: As given.
        state: What is known of each chain, as `recorder.store.plain_code` has it.
        recent: The last ids of each.
    """

    def __init__(self, books: Sequence[DepthChain]) -> None:
        self.books = books
        self.state = np.zeros((len(books), len(STATE_FIELDS)), np.int64)
        self.state[:, EXPECTED] = NOT_FOLLOWED
        self.recent = np.zeros((len(books), RECENT, 2), np.int64)

    def pick_up(self, number: int) -> None:
        """Follow a book from now on, if updates simply continue it."""
        book = self.books[number]
        if book.follower is None and (first := book.next_to_follow()) is not None:
            state = self.state[number]
            state[EXPECTED] = first
            state[LAST_AT] = book.last_at
            state[TAKEN] = 0
            book.follower = self, number

    def give_back(self, number: int) -> None:
        """Tell a book what came meanwhile, and follow it no more."""
        book = self.books[number]
        book.follower = None
        expected, last_at, taken = self.state[number, : TAKEN + 1].tolist()
        self.state[number, EXPECTED] = NOT_FOLLOWED
        if taken:
            turns = [turn % RECENT for turn in range(max(0, taken - RECENT), taken)]
            ids = self.recent[number, turns].tolist()
            book.went_on(expected - 1, last_at, [(first, last) for first, last in ids])


class PlainFrames:
    """Reads runs of frames, and leaves those that are not plain.

    Args:
        source: The feed.
        books: All depth chains of the run.
        rows: Takes the rows.
        heard: When a row of a chain was last received: see `Silence`.

    Attributes:
        is_on: Whether frames are read in this way at all.
        is_held: Whether they are not for now.
    """

    def __init__(
        self,
        source: Source,
        books: Books,
        rows: Rows,
        heard: dict[tuple[str, str], int],
    ) -> None:
        self.is_on = True
        self.is_held = False
        self._source = source
        self._rows = rows
        self._heard = heard
        chains = books.all()
        self._numbers = {book.chain: number for number, book in enumerate(chains)}
        self._chains = [book.chain for book in chains]
        self._follower = Follower(chains)
        self._runs = count(1)
        self._places = [Place(book.chain, book.rule.depth_limit) for book in chains]

    def form_of(self, link: Link) -> Form | None:
        """Return the form of a connection's plain frames; None if it has none."""
        told = self._source.plain(link.chains)
        return None if told is None else _form(told, self._numbers)

    def run_of(
        self, link: Link, stamps: range, payloads: Sequence[bytes]
    ) -> Run | None:
        """Return frames as `take` takes them.

        Args:
            link: The connection that they came over.
            stamps: Our clock when each was read, nanoseconds, one by one.
            payloads: The messages.

        Returns:
            None if all of them are to be taken in the usual way.
        """
        form = link.form
        if (
            form is None
            or not RUN_MIN <= len(payloads) <= RUN_MAX
            or not self.is_on
            or self.is_held
            or link.twins
        ):
            return None
        sizes = list(map(len, payloads))
        size = sum(sizes)
        if size > RUN_BYTES_MAX:
            return None
        return Run(form, stamps, payloads, sizes, size)

    def take(self, link: Link, seq: int, run: Run) -> Left:
        """Take the plain ones of a run that simply continue their books.

        Args:
            link: The connection that they came over.
            seq: Number of the first of them.
            run: The frames.

        Returns:
            The others, and their books: `pick_up` these once they were taken.
        """
        form, stamps = run.form, run.stamps
        frames = len(stamps)
        text = b"\0".join((*run.payloads, b""))
        starts = np.zeros(frames + 1, np.int64)
        sizes = np.array(run.sizes, np.int64)
        np.add(sizes, 1, out=sizes)  # the separator
        sizes.cumsum(out=starts[1:])
        block = self._rows.block(self._places, frames, len(text))
        follower = self._follower
        left, touched, unknown = np.empty((3, frames), np.int64)
        counts = np.array([block.count, 0, 0, 0])
        conn = block.number_of(link.conn)
        read_frames(
            np.frombuffer(text, np.uint8),
            starts,
            np.arange(stamps.start, stamps.stop),
            np.array([seq, conn, next(self._runs), form.one_change_levels]),
            form.shape,
            form.names,
            follower.state,
            follower.recent,
            block.rows,
            block.ends,
            block.levels,
            left,
            touched,
            unknown,
            counts,
        )
        block.count = int(counts[ROWS])
        found = touched[: counts[TOUCHED]]
        at = follower.state[found, LAST_AT].tolist()
        names = map(self._chains.__getitem__, found.tolist())
        self._heard.update(zip(names, at, strict=True))
        return Left(left[: counts[LEFT]].tolist(), unknown[: counts[UNKNOWN]].tolist())

    def pick_up(self, books: Sequence[int]) -> None:
        """Follow books from now on, by their numbers, if they can be."""
        for number in dict.fromkeys(books):
            self._follower.pick_up(number)


def warm_up() -> None:
    """Compile, which takes seconds the first time on a machine."""
    told = PlainDepth(frame={}, result={}, chains={})
    form = _form(told, {})
    none = np.empty(0, np.int64)
    follower = Follower([])
    block = DepthBlock("", [])
    facts = np.zeros(4, np.int64)
    read_frames(
        np.frombuffer(b"", np.uint8), none, none, facts, form.shape, form.names,
        follower.state, follower.recent, block.rows, block.ends, block.levels,
        none, none, none, facts,
    )  # fmt: skip


def _form(told: PlainDepth, numbers: Mapping[Chain, int]) -> Form:
    """Return a form as arrays.

    Raises:
        ValueError: If it has keys that are too many or too long.
    """
    keys = np.zeros((2, KEYS_MAX), np.uint64)
    kinds = np.zeros((2, KEYS_MAX, 3), np.int64)
    needed = np.zeros(2, np.uint64)
    constants = b""
    for level, parts in enumerate((told.frame, told.result)):
        for place, (key, part) in enumerate(parts.items()):
            name = key.encode()
            if place >= KEYS_MAX or len(name) > KEY_BYTES_MAX:
                raise ValueError(f"a plain form cannot have the key {key!r}")
            keys[level, place] = int.from_bytes(name, "little")
            if part in PARTS:
                kinds[level, place] = KINDS[part], 0, 0
            else:
                value = part.encode()
                kinds[level, place] = CONSTANT, len(constants), len(value)
                constants += value
            if part not in OPTIONAL:
                needed[level] |= np.uint64(1 << place)
    shape = keys, kinds, np.frombuffer(constants, np.uint8), needed
    names = [(market, numbers[chain]) for market, chain in told.chains.items()]
    return Form(shape, table_of_names(names), told.one_change_levels)
