"""Keys that a venue added to its frames: noticed in one frame of many, told once."""

from contextlib import suppress
from typing import Final

from recorder.capture.link import Link
from recorder.errors import WireError
from recorder.telemetry import KeyAppeared, emit


KEYS_EVERY: Final = 1_000
"""One frame in so many of each kind is searched for keys that are new."""

KEYS_MAX: Final = 1_000
"""So many are told; who sends more makes them up."""


class NewKeys:
    """Searches frames for keys that their feed does not know.

    Args:
        source: Name of the feed.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._seen: dict[type, int] = {}
        self._told: set[str] = set()
        self._searched: bytes | None = None

    def count(self, link: Link, kind: type, payload: bytes) -> None:
        """Search one frame in many of a kind."""
        count = self._seen.get(kind, 0)
        self._seen[kind] = count + 1
        # The rows of one frame share it; with thousands, once is enough.
        if count % KEYS_EVERY == 0 and payload is not self._searched:
            self._searched = payload
            self.search(link, payload)

    def search(self, link: Link, payload: bytes) -> None:
        """Tell of keys in a frame that its feed does not know, each once."""
        # A frame of which a part is not valid was good enough for its feed.
        with suppress(WireError):
            for key in link.dialogue.unknown_keys(payload):
                if key not in self._told and len(self._told) < KEYS_MAX:
                    self._told.add(key)
                    emit(KeyAppeared(source=self._source, key=key))
