"""JSON from strangers: decoded or refused, and searched for keys not known."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from recorder.errors import WireError


T = TypeVar("T")

_TEXT: Final = msgspec.json.Decoder(str)

NULL: Final = msgspec.Raw(b"null")
EMPTY: Final = msgspec.Raw(b"[]")

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""All that msgspec raises on bytes from a stranger."""


def decoded(decoder: msgspec.json.Decoder[T], payload: bytes | msgspec.Raw) -> T:
    """Return what a decoder makes of some JSON.

    Raises:
        WireError: If it does not fit the decoder's type.
    """
    try:
        return decoder.decode(payload)
    except DECODE_ERRORS as error:
        raise WireError(f"does not fit: {error}") from error


def text_as_sent(raw: msgspec.Raw) -> str | None:
    """Return a text's own characters, and any other JSON as it stands.

    For what no document explains: whatever comes is kept. None for null.

    Raises:
        WireError: If it is a text that cannot be decoded.
    """
    if raw is NULL:  # not sent at all, as mostly
        return None
    token = bytes(raw)
    if token[:1] == b'"':
        return decoded(_TEXT, token)
    return None if raw == NULL else token.decode()


def check_utf8(payload: bytes) -> None:
    """Refuse bytes that are not UTF-8, which JSON must be.

    msgspec checks only the strings that it hands out, not those that it
    skips or leaves raw.

    Raises:
        WireError: If they are not.
    """
    try:
        payload.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"not UTF-8: {error.reason} at byte {error.start}") from error


Known: TypeAlias = "Mapping[str, Known] | tuple[Known, ...] | list[Known] | None"
"""What is known of some JSON: keys of an object, places of an array, the one
shape of all items of an array, or None where anything may stand."""

_ANY: Final = msgspec.json.Decoder()


def keys(text: str) -> dict[str, Known]:
    """Return known keys whose values may be anything, from their names."""
    return dict.fromkeys(text.split())


def unknown_paths(payload: bytes, known: Mapping[str, Known]) -> tuple[str, ...]:
    """Return keys of a frame that are not known, as dotted paths, sorted.

    Places of an array of fixed length are numbers in a path; items of a list
    of equals have none.

    Raises:
        WireError: If the frame is not valid JSON.
    """
    return tuple(sorted(set(_unknown(decoded(_ANY, payload), known, ""))))


def value_of(payload: bytes, key: str) -> object:
    """Return what an object holds under a key; None if it has no such key.

    Raises:
        WireError: If the frame is not valid JSON.
    """
    frame = decoded(_ANY, payload)
    return frame.get(key) if isinstance(frame, dict) else None


def _unknown(value: Any, known: Known, path: str) -> Iterator[str]:
    if isinstance(value, dict) and isinstance(known, Mapping):
        for key, item in value.items():
            if key in known:
                yield from _unknown(item, known[key], f"{path}{key}.")
            else:
                yield f"{path}{key}"
    elif isinstance(value, list) and isinstance(known, tuple):
        for place, item in enumerate(value):
            if place < len(known):
                yield from _unknown(item, known[place], f"{path}{place}.")
            else:
                yield f"{path}{place}"
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(
                item, known[0] if isinstance(known, list) else known, path
            )
