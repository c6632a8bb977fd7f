"""What keeps going wrong: told when it begins, and seldom while it goes on."""

from typing import Final

from recorder.model import Chain


KEPT_EVERY: Final = 100
"""Of answers that go on making no sense in the same way, one in so many is kept."""


class Complaints:
    """Counts how often something went wrong in the same way, for each chain."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Chain, str], int] = {}

    def again(self, chain: Chain, why: str) -> int:
        """Note that something went wrong.

        Args:
            chain: For which chain.
            why: In words; what follows the first colon and a space is detail,
                and of the same kind.

        Returns:
            How often it did before, in this way, since it last went well.
        """
        key = (chain, why.partition(": ")[0])
        before = self._counts.get(key, 0)
        self._counts[key] = before + 1
        return before

    def over(self, chain: Chain) -> None:
        """Note that it went well."""
        for key in [key for key in self._counts if key[0] == chain]:
            del self._counts[key]
