"""Real frames out of a recording, again and again with ids that run on."""

import re
from pathlib import Path

import msgspec

from benchmarks.made_frames import Load


FOLDER = Path(__file__).resolve().parents[3] / "shared" / "recordings"
"""Real recordings, which lie beside the checkout where they are at all."""

RECORDING = "gate-spot-2021-04-22.jsonl"
ABSENT = f"the recording {RECORDING} is not there: real frames were not measured"


def recorded_load(folder: Path, count: int) -> Load | None:
    """Return recorded depth frames.

    Args:
        folder: Where the recordings are.
        count: How many frames to return, about: whole rounds, one at least.

    Returns:
        None if the recording is not there.
    """
    path = folder / RECORDING
    if not path.is_file():
        return None
    once = [frame for line in path.open("rb") if (frame := _depth_of(line))]
    firsts: dict[str, int] = {}
    spans: dict[str, int] = {}
    for frame in once:
        name, first, last = _ids_of(frame)
        spans[name] = last + 1 - firsts.setdefault(name, first)
    markets = list(firsts)
    frames = []
    ids = []
    for turn in range(max(1, count // len(once))):
        for frame in once:
            name, first, last = _ids_of(frame)
            first, last = first + turn * spans[name], last + turn * spans[name]
            text = re.sub(rb'"U":\d+', b'"U":%d' % first, frame)
            frames.append(re.sub(rb'"u":\d+', b'"u":%d' % last, text))
            ids.append((markets.index(name), first, last))
    books = [(firsts[name] - 1, b"[]", b"[]") for name in markets]
    return Load(markets, frames, ids, books)


class _Line(msgspec.Struct):
    kind: str
    data: str = ""


def _depth_of(line: bytes) -> bytes | None:
    """Return the depth frame of a line of a recording, if it is one."""
    if b"spot.order_book_update" not in line:
        return None
    entry = msgspec.json.decode(line, type=_Line)
    is_push = entry.kind == "recv" and '"event":"update"' in entry.data
    return entry.data.encode() if is_push else None


class _Ids(msgspec.Struct):
    s: str
    U: int
    u: int


class _Frame(msgspec.Struct):
    result: _Ids


def _ids_of(frame: bytes) -> tuple[str, int, int]:
    ids = msgspec.json.decode(frame, type=_Frame).result
    return ids.s, ids.U, ids.u
