r"""Keys of our own account: read once, handed on, never shown.

A `Secrets` prints as nothing, is part of no job's name, and blots its values
out of whatever is to be written down. A venue may well say back what it was
told, in an error or in the reason of a close. So everything that it sends is
blotted before anything is made of it: whoever decodes, logs, keeps or stores
it has never seen a key.

A key is found as it is, and as JSON or an address may spell it: with a
backslash before a sign, as ``\u0041``, as ``%41``.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec


SHOWN_INSTEAD: Final = "***"
"""What stands in a text where a secret stood."""

SIGNATURES: Final = 4
"""Signatures remembered: those of the latest connections."""

BEGINNING: Final = 8
"""A text that ends with so many characters of a secret was cut off in it."""


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

    __slots__ = ("_plain", "_signatures", "_spelled", "_values")

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})
        self._signatures: deque[str] = deque(maxlen=SIGNATURES)
        self._spelled: dict[str, re.Pattern[bytes] | None] = {}
        self._spell()

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

    def signed(self, signature: str) -> str:
        """Return a signature, which is a secret from now on.

        A venue may take one for a while from whoever sends it.
        """
        self._signatures.append(signature)
        self._spell()
        return signature

    def hide(self, text: str) -> str:
        """Return a text with every secret in it blotted out."""
        return self.hide_bytes(text.encode("utf-8", "surrogatepass")).decode(
            "utf-8", "surrogatepass"
        )

    def hide_bytes(self, payload: bytes) -> bytes:
        """Return a frame with every secret in it blotted out.

        Where there are no secrets, it is the frame itself.
        """
        if not self._plain:
            return payload
        if b"\\" in payload or b"%" in payload:
            for text, spelled in self._spelled.items():
                # Made once, when it is needed: that takes milliseconds.
                found = self._spelled[text] = spelled or re.compile(_pattern(text))
                payload = found.sub(_INSTEAD, payload)
        for value in self._plain:
            payload = payload.replace(value, _INSTEAD)
        return self._without_beginning(payload)

    def _without_beginning(self, payload: bytes) -> bytes:
        """Return a frame that does not break off within a secret."""
        for value in self._plain:
            at = payload.rfind(value[:BEGINNING])
            if at >= 0 and value.startswith(payload[at:]):
                payload = payload[:at] + _INSTEAD
        return payload

    def _spell(self) -> None:
        texts = [*self._values.values(), *self._signatures]
        # The longest first: one may be a part of another.
        texts.sort(key=len, reverse=True)
        self._plain = tuple(text.encode("utf-8", "surrogatepass") for text in texts)
        self._spelled = {text: self._spelled.get(text) for text in texts}


def _pattern(text: str) -> bytes:
    """Return a pattern that finds a text in its different spellings."""
    return b"".join(_any_of(_spellings(character)) for character in text)


def _spellings(character: str) -> Iterator[bytes]:
    raw = character.encode("utf-8", "surrogatepass")
    yield (rb"\\?" if character in _ESCAPED else b"") + re.escape(raw)
    yield rb"\\u(?i:%04x)" % ord(character)
    yield b"(?i:%s)" % b"".join(b"%%%02x" % byte for byte in raw)


def _any_of(patterns: Iterable[bytes]) -> bytes:
    return b"(?:%s)" % b"|".join(patterns)


_ESCAPED: Final = frozenset('"\\/')
"""Characters that JSON may spell with a backslash before them."""

_INSTEAD: Final = SHOWN_INSTEAD.encode()

NO_SECRETS: Final = Secrets()
"""For feeds that need none."""
