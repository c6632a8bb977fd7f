"""Levels of single messages as numbers, the slow way."""

import msgspec

from recorder.model.market import Levels, RawLevels


def parse_levels(raw: RawLevels) -> Levels:
    """Return raw levels as (price, amount) pairs, in wire order.

    The slow way, one Python object for each number, for single messages
    and tests; the store has a bulk parser.

    Args:
        raw: A JSON array of ``["price", "amount"]`` pairs or of objects
            with the keys ``p`` and ``s``.

    Returns:
        Price in quote currency and amount in the venue's unit.

    Raises:
        msgspec.DecodeError: If the text is not such an array.
    """
    return tuple(
        (float(x[0]), float(x[1])) if isinstance(x, tuple) else (float(x.p), float(x.s))
        for x in _LEVELS.decode(raw)
    )


class _ObjectLevel(msgspec.Struct, frozen=True, gc=False):
    p: str | float
    s: str | float


_LEVELS = msgspec.json.Decoder(list[tuple[str | float, str | float] | _ObjectLevel])
