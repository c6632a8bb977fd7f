"""What the tests of all feeds share."""

import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st

from recorder.model import Chain


Plain = Callable[[Sequence[Any]], list[dict[str, Any]]]


_TOLD_IF_SET = ("is_about_keys", "is_clock_lost")


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Raw | bytes):
        return bytes(value).decode()
    if isinstance(value, Chain):
        return list(value)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, msgspec.Struct):
        fields = {
            key: _plain(item)
            for key, item in msgspec.structs.asdict(value).items()
            if item is not None and not (key in _TOLD_IF_SET and item is False)
        }
        return {"is": type(value).__name__, **fields}
    return value


@pytest.fixture(scope="session")
def plain() -> Plain:
    """Make what a frame says comparable: fields that are None are left out, and flags that are seldom set."""
    return _plain


def load_cases(folder: Path) -> list[Any]:
    """Return the hand-written frames of a feed with what they must say."""
    frames = _lines(folder / "frames.jsonl")
    said = {case["name"]: case["said"] for case in _lines(folder / "events.jsonl")}
    assert said.keys() == {case["name"] for case in frames}
    return [
        pytest.param(case["frame"].encode(), said[case["name"]], id=case["name"])
        for case in frames
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if {"case_frame", "case_said"} <= set(metafunc.fixturenames):
        path = Path(metafunc.module.__file__)
        folder = path.parent / path.stem.removeprefix("test_")
        metafunc.parametrize(("case_frame", "case_said"), load_cases(folder))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@st.composite
def _mutants(draw: st.DrawFn, frames: Sequence[bytes]) -> bytes:
    """A frame with a few bytes replaced, removed, doubled or inserted."""
    frame = bytearray(draw(st.sampled_from(frames)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(frame) - 1, 0)))
        width = draw(st.sampled_from((1, 1, 1, 2, 8)))
        piece = draw(
            st.one_of(
                st.binary(max_size=2),
                st.sampled_from(
                    (b"null", b"-1", b"1e999", b"[]", b"{}", b'"', b"[", b"true", b",")
                ),
                st.just(bytes(frame[at : at + width]) * 2),
            )
        )
        frame[at : at + width] = piece
    return bytes(frame)


@pytest.fixture(scope="session")
def mutants() -> Callable[[Sequence[bytes]], st.SearchStrategy[bytes]]:
    """Make a strategy of damaged frames out of whole ones."""
    return _mutants
