"""Keys of our own account: read once, handed on, never shown.

A `Secrets` prints as nothing, is part of no job's name, and knows how to
blot its values out of whatever is to be written down.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec


SHOWN_INSTEAD: Final = "***"
"""What stands in a text where a secret stood."""


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A key that a feed can use.

    Attributes:
        name: How the feed calls it: ``key``.
        env: The environment variable that holds it.
        doc: One sentence for ``--help``.
    """

    name: str
    env: str
    doc: str


class Secrets(Mapping[str, str]):
    """The keys of one feed by name, those that are set.

    Args:
        values: Keys by the feed's name for them.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, name: str) -> str:
        """Return a key, for whoever signs with it."""
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the keys that are set."""
        return iter(self._values)

    def __len__(self) -> int:
        """Return how many are set."""
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(self._values)})"

    def hide(self, text: str) -> str:
        """Return a text with every secret in it blotted out."""
        for value in self._values.values():
            text = text.replace(value, SHOWN_INSTEAD)
        return text

    def hide_bytes(self, payload: bytes) -> bytes:
        """Return a frame with every secret in it blotted out."""
        for value in self._values.values():
            payload = payload.replace(value.encode(), SHOWN_INSTEAD.encode())
        return payload


NO_SECRETS: Final = Secrets()
"""For feeds that need none."""
