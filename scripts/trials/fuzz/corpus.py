"""Whole frames of every feed, to be damaged: hand-written ones and recorded ones."""

import json  # noqa: TID251 - shares nothing with the decoders
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from recorder.errors import WireError
from recorder.model import NO_MARKET, TABLE_OF, Chain
from recorder.source import NO_SECRETS, Dialogue, Source, resolve_options


ROOT: Final = Path(__file__).resolve().parents[3]
CASES: Final = ROOT / "tests" / "sources"
RECORDINGS: Final = ROOT.parent / "shared" / "recordings"

MARKETS: Final = ("BTC_USDT", "ETH_USDT", "GT_USDT", "../../etc")
MARKETS_MAX: Final = 4
PARAMETERS_MAX: Final = 3
"""Of each kind of stream, so many of its parameters are asked for."""

OF_RECORDING: Final = {
    "gate_spot": "gate-spot-2021-04-22.jsonl",
    "gate_v3": "gate-v3-2021-04-05.jsonl",
    "gate_futures": "gate-futures-2023-05-24.jsonl",
}
BODY_MAX_BYTES: Final = 50_000
RECORDED_MAX: Final = 60
"""Of a recording, so many frames, of all its kinds."""


class Corpus(NamedTuple):
    """What a feed is fuzzed with.

    Attributes:
        frames: Whole frames, as they come over the WebSocket.
        bodies: Answers by HTTP.
        chains: What is asked for.
        takers: For each frame the connections, by their place in the feed's
            plan, on which it says something of what was asked for.
    """

    frames: list[bytes]
    bodies: list[bytes]
    chains: tuple[Chain, ...]
    takers: list[list[int]]


def corpus_of(source: Source) -> Corpus:
    """Return what a feed is fuzzed with; recordings only where they are."""
    frames = [
        json.loads(line)["frame"].encode()
        for line in (CASES / source.name / "frames.jsonl").read_text().splitlines()
    ]
    bodies = [BODY, LIST]
    markets = list(MARKETS)
    recording = RECORDINGS / OF_RECORDING.get(source.name, "-")
    if recording.is_file():
        lines = [json.loads(line) for line in recording.read_text().splitlines()]
        received = [line["data"] for line in lines if line["kind"] == "recv"]
        step = max(1, len(received) // RECORDED_MAX)
        frames += [text.encode() for text in received[::step]]
        told = [line["data"].encode() for line in lines if line["kind"] == "http"]
        bodies += [body for body in told if len(body) <= BODY_MAX_BYTES]
        markets += sorted(
            name
            for name in _texts([json.loads(text) for text in received])
            if "_" in name
        )[:MARKETS_MAX]
    chains = _chains(source, tuple(dict.fromkeys(markets)))
    return Corpus(frames, bodies, chains, _takers(source, frames, chains))


def _takers(
    source: Source, frames: Sequence[bytes], chains: Sequence[Chain]
) -> list[list[int]]:
    options, groups = resolve_options(source, {}), source.plan(chains)
    return [
        [
            place
            for place, group in enumerate(groups)
            if _says_something(source.dialogue(group, options, NO_SECRETS), frame)
        ]
        for frame in frames
    ]


def _says_something(dialogue: Dialogue, frame: bytes) -> bool:
    try:
        return any(type(item) in TABLE_OF for item in dialogue.receive(frame, 0))
    except WireError:
        return False


def _texts(value: object) -> set[str]:
    """Return what could be a market in some JSON."""
    if isinstance(value, str):
        return (
            {value} if value.replace("_", "").isalnum() and value.isupper() else set()
        )
    items = value.values() if isinstance(value, dict) else value
    return (
        set().union(*map(_texts, items))
        if isinstance(items, list | type({}.values()))
        else set()
    )


def _chains(source: Source, markets: tuple[str, ...]) -> tuple[Chain, ...]:
    found = []
    for kind in source.streams:
        for parameter in kind.parameters[:PARAMETERS_MAX] or ("",):
            stream = f"{kind.name}:{parameter}" if parameter else kind.name
            found += [
                Chain(market, stream)
                for market in (markets if kind.has_markets else [NO_MARKET])
            ]
    return tuple(found)


BODY: Final = (
    b'{"id":48,"current":1790000001123,"update":1790000001100,'
    b'"asks":[["1.52","1.151"],["1.53","1.218"]],"bids":[["1.17","201.863"],["1.16","725.464"]]}'
)
"""A book by HTTP, as the documents show it."""

LIST: Final = (
    b'[{"id":"ETH_USDT","base":"ETH","quote":"USDT","fee":"0.2","precision":6,'
    b'"amount_precision":3,"trade_status":"tradable"},'
    b'{"id":"GT_USDT","base":"GT","quote":"USDT","precision":4,"amount_precision":2}]'
)
"""A list of markets, as the documents show it."""
