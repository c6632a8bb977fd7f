"""A page of what a venue tells of the past."""

from typing import NamedTuple

from recorder.capture.link import Opcode
from recorder.source import PastEvent


class Page(NamedTuple):
    """What a venue told.

    Attributes:
        asked_at: Our clock when it was asked, nanoseconds.
        ts_recv: Our clock when the answer had come.
        request: What was asked for, for people.
        opcode: How it came.
        body: The answer, keys of ours blotted out.
        events: What it says, in its order.
    """

    asked_at: int
    ts_recv: int
    request: str
    opcode: Opcode
    body: bytes
    events: tuple[PastEvent, ...]
