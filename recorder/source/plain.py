"""The plain form of a feed's most frequent push, told as data.

Most of what a busy venue sends are changes of order books, in one and the same
form. A feed that says what this form is has such frames read many at a time, by
machine code that makes no object of them. Any frame that deviates in a key, a
blank, an escape, a number of many digits, is left to the feed's `Dialogue`, and so
is one that does not simply continue its book: what both understand must be the same.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from recorder.model import Chain


Part: TypeAlias = Literal[
    "number",
    "text",
    "result",
    "market",
    "milliseconds",
    "first",
    "last",
    "bids",
    "asks",
]
"""What the value of a key is: a ``number`` or a ``text`` that says nothing, the
object with the rest (``result``), or a column of the row."""

PARTS: Final[tuple[Part, ...]] = get_args(Part)
"""All of them."""

OPTIONAL: Final[frozenset[str]] = frozenset({"number", "text", "bids", "asks"})
"""What may be left out; a side that is, has no change."""


class PlainDepth(msgspec.Struct, frozen=True, kw_only=True):
    """How one connection's changes of order books look, if they are plain.

    Attributes:
        frame: What the keys of a frame are; a value that is always the same is
            given as JSON: ``'"update"'``.
        result: What the keys of its ``result`` are.
        chains: The chains it carries, by the market as it stands in a frame.
        one_change_levels: A push of one single change (its first id is its last)
            with more levels a side, none of which removes one, is not plain: it
            may be a whole book.
    """

    frame: Mapping[str, Part | str]
    result: Mapping[str, Part | str]
    chains: Mapping[str, Chain]
    one_change_levels: int = 2
