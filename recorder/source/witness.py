"""What the streams of a market tell of each other."""

from fnmatch import fnmatchcase

import msgspec

from recorder.model import WireEvent


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of one stream tell of other streams of their market.

    A row is a sign if it differs from the row before it in a field of
    `changed`, or is greater in one of `grown`, while both have the same in
    `within`. Without such fields each live row is a sign. A stream that must
    have pushed something for each sign, and pushes nothing, is silent.

    Streams are named by their table, or by a pattern of canonical names
    where those of a table are of several kinds: ``klines:[0-9]*``.

    Attributes:
        by: Streams whose rows tell.
        of: Streams that must have pushed something.
        changed: Fields any change of which tells; from or to None it is no
            change, for a row need not say everything.
        grown: Decimal fields of which only growth tells: the volume of the
            last day also falls, as old trades leave it.
        within: Fields that must be the same, or rows cannot be compared.
        signs: How many prove it: few where the venue cannot but push, more
            where it may now and then have no reason to.
    """

    by: str
    of: tuple[str, ...]
    changed: tuple[str, ...] = ()
    grown: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    signs: int

    def tells_by(self, stream: str) -> bool:
        """Return whether rows of a canonical stream tell."""
        return _names(self.by, stream)

    def tells_of(self, stream: str) -> bool:
        """Return whether a canonical stream must have pushed something."""
        return any(_names(name, stream) for name in self.of)

    @property
    def has_fields(self) -> bool:
        """Whether two rows are compared."""
        return bool(self.changed or self.grown)

    def is_sign(self, before: WireEvent | None, after: WireEvent) -> bool:
        """Return whether a row is a sign.

        Args:
            before: The row before it of the same stream and market, if any.
            after: The row.
        """
        if not self.has_fields:
            return True
        if before is None or any(
            getattr(before, name) != getattr(after, name) for name in self.within
        ):
            return False
        return any(
            _differ(getattr(before, name), getattr(after, name))
            for name in self.changed
        ) or any(
            _is_less(getattr(before, name), getattr(after, name)) for name in self.grown
        )


def _names(name: str, stream: str) -> bool:
    return stream.partition(":")[0] == name or fnmatchcase(stream, name)


def _differ(before: object, after: object) -> bool:
    return before is not None and after is not None and before != after


def _is_less(before: str | None, after: str | None) -> bool:
    """Return whether both texts are numbers and the second is greater."""
    try:
        return float(before or "nan") < float(after or "nan")
    except ValueError:
        # Whether a number can be stored is for others to say.
        return False
