"""Damage done to frames: to their JSON, and to their bytes.

A frame is damaged by a number alone, so that the same number damages it in the
same way again. Numbers stay the text that was sent, and an object is a list of
pairs, so that a key may stand in it twice.
"""

import json  # noqa: TID251 - what damages frames shares nothing with the decoders
import random
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias


class Token(NamedTuple):
    """JSON that stands as it is: a number, or what is none."""

    text: str


class Object(NamedTuple):
    """A JSON object: its members in order."""

    members: list[tuple[str, Any]]


Path: TypeAlias = tuple[int, ...]

TOKENS: Final = (
    *(
        "null",
        "true",
        "false",
        "0",
        "-1",
        "-0",
        "1",
        "1.5",
        "1e999",
        "-1e999",
        "1e-999",
    ),
    *("NaN", "Infinity", "-Infinity", "9007199254740993", "1E400", "0e0", "00", "+1"),
    *(
        "2147483648",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
    ),
    *("18446744073709551616", "1" + "0" * 30, "7" * 400, "0." + "3" * 400, "9" * 5_000),
    *("253402300800", "253402300800000", "31556889864403199", "[]", "{}", '""', "[[]]"),
    *('"1e999"', '"NaN"', '"-1"', '"Infinity"', '"1e-400"', '" 1"', '"1_0"', '"0x10"'),
    *('"' + "4" * 400 + '"', '"9223372036854775808"', '"-0.0"', '"1e99999999999"'),
    *('"../../etc"', '"\\u0000"', '"\\n"', '"\\ud800"', '"\\u202e\\ud83d\\ude00"'),
    *('"BTC_USDT"', '"btc_usdt"', '"ETH_USDT"', '"A/B"', '"' + "M" * 10_000 + '"'),
    *("[" * 500 + "]" * 500, '[["1","2"]]', '[["1"]]', '[{"p":"1","s":1}]', "[1,2,3]"),
    *(
        '[["1","-2"]]',
        '[["-1","2"]]',
        '[["1e999","1"]]',
        '[["0","0"]]',
        '{"a":{"b":[]}}',
    ),
    *(
        '"buy"',
        '"sell"',
        '"update"',
        '"subscribe"',
        '"full"',
        '"success"',
        "1619093543",
    ),
)
"""What a value is replaced by."""

PIECES: Final = (
    *(b"null", b"-", b"1e999", b"[]", b"{}", b'"', b"[", b"]", b"{", b"}", b",", b":"),
    *(
        b"\\",
        b"\x00",
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\\u0000",
        b"\\ud800",
        b"9" * 30,
    ),
)
"""What bytes are replaced by."""


class Damaged(NamedTuple):
    """A damaged frame, and which of the whole ones it was."""

    payload: bytes
    place: int


def damaged(frames: Sequence[bytes], number: int) -> Damaged:
    """Return one of some frames, damaged as a number says.

    Args:
        frames: Whole ones.
        number: Any; one in five leaves the frame as it is.
    """
    rng = random.Random(number)
    place = rng.randrange(len(frames))
    frame = frames[place]
    kind = rng.randrange(10)
    if 2 <= kind <= 8:
        frame = _damage_json(frame, rng, frames)
    if kind >= 8:
        for _ in range(rng.randint(1, 3)):
            frame = _damage_bytes(frame, rng)
    return Damaged(frame, place)


def parsed(frame: bytes) -> Any:
    """Return JSON with its numbers as they stand.

    Raises:
        ValueError: If it is none.
    """
    return json.loads(
        frame,
        parse_int=Token,
        parse_float=Token,
        parse_constant=Token,
        object_pairs_hook=Object,
    )


def shown(value: Any) -> str:
    """Return `parsed` JSON as text."""
    if isinstance(value, Token):
        return value.text
    if isinstance(value, Object):
        members = (f"{json.dumps(key)}:{shown(item)}" for key, item in value.members)
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    return json.dumps(value)


@lru_cache(maxsize=1_000)
def _whole(frame: bytes) -> Any:
    """Return a whole frame, `parsed`; nothing in it may be changed in place."""
    return parsed(frame)


def _damage_json(frame: bytes, rng: random.Random, frames: Sequence[bytes]) -> bytes:
    try:
        root = _whole(frame)
    except (ValueError, RecursionError):
        return frame
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        paths = list(_paths(root, ()))
        at = rng.choice(paths)
        root = _replaced(root, at, rng.choice(_DAMAGES), rng, frames)
    return shown(root).encode()


def _paths(value: Any, at: Path) -> list[Path]:
    """Return where everything in some JSON stands."""
    found = [at]
    for place, item in enumerate(_items(value)):
        found += _paths(item, (*at, place))
    return found


def _items(value: Any) -> list[Any]:
    if isinstance(value, Object):
        return [item for _, item in value.members]
    return value if isinstance(value, list) else []


_Damage: TypeAlias = Callable[[Any, random.Random, Sequence[bytes]], Any]


def _replaced(
    value: Any,
    at: Path,
    damage: _Damage,
    rng: random.Random,
    frames: Sequence[bytes],
) -> Any:
    if not at:
        return damage(value, rng, frames)
    place, rest = at[0], at[1:]
    if isinstance(value, Object):
        members = list(value.members)
        key, item = members[place]
        members[place] = (key, _replaced(item, rest, damage, rng, frames))
        return Object(members)
    items = list(value)
    items[place] = _replaced(items[place], rest, damage, rng, frames)
    return items


def _other_token(_value: Any, rng: random.Random, _frames: Sequence[bytes]) -> Any:
    return Token(rng.choice(TOKENS))


def _other_type(value: Any, rng: random.Random, _frames: Sequence[bytes]) -> Any:
    """A number becomes text, a text a number, anything a list or an object."""
    if isinstance(value, Token) and rng.random() < 0.7:
        return value.text
    if isinstance(value, str) and rng.random() < 0.7:
        return Token(value) if value.replace(".", "").isdigit() else Token("7")
    return rng.choice(([value], Object([("x", value)]), None))


def _other_number(value: Any, rng: random.Random, _frames: Sequence[bytes]) -> Any:
    if not isinstance(value, Token | str):
        return Token(rng.choice(TOKENS))
    text = value.text if isinstance(value, Token) else value
    changed = rng.choice(
        (
            text + rng.choice(("0", "5", "e3", "e-9", ".5", "e400")),
            "-" + text,
            text[:-1] or "0",
            text[1:] or "0",
            str(rng.randrange(2**65)),
        )
    )
    return Token(changed) if isinstance(value, Token) else changed


def _other_size(value: Any, rng: random.Random, _frames: Sequence[bytes]) -> Any:
    """An array grows or shrinks; a member goes, comes twice, or is renamed."""
    if isinstance(value, list):
        if not value or rng.random() < 0.3:
            return [*value, rng.choice((None, [], "1", Token("1"), Object([])))]
        if rng.random() < 0.4:
            return value[: rng.randrange(len(value))]
        return value * rng.choice((2, 3, 50))
    if not isinstance(value, Object) or not value.members:
        return Token(rng.choice(TOKENS))
    members = list(value.members)
    place = rng.randrange(len(members))
    key, item = members[place]
    kind = rng.randrange(4)
    if kind == 0:
        del members[place]
    elif kind == 1:
        members.insert(rng.randrange(len(members) + 1), (key, item))
    elif kind == 2:
        members.append((key, Token(rng.choice(TOKENS))))
    else:
        members[place] = (rng.choice((key.upper(), key + "x", "", "id")), item)
    return Object(members)


def _of_another_frame(value: Any, rng: random.Random, frames: Sequence[bytes]) -> Any:
    """What stands somewhere in another frame."""
    try:
        other = _whole(rng.choice(frames))
    except (ValueError, RecursionError):
        return value
    for place in rng.choice(_paths(other, ())):
        other = _items(other)[place]
    return other


_DAMAGES: Final[tuple[_Damage, ...]] = (
    *(_other_token, _other_token, _other_type, _other_number, _other_number),
    *(_other_size, _other_size, _of_another_frame),
)


def _damage_bytes(frame: bytes, rng: random.Random) -> bytes:
    content = bytearray(frame)
    at = rng.randrange(len(content) + 1)
    kind = rng.randrange(5)
    if kind == 0 and content:
        content[at % len(content)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        del content[at : at + rng.choice((1, 2, 8, 40))]
    elif kind == 3:
        content[at:at] = rng.choice(PIECES)
    else:
        piece = bytes(content[at : at + rng.choice((1, 4, 30))])
        content[at:at] = piece * rng.choice((1, 2, 9))
    return bytes(content)
