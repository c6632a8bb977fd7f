"""Damaged frames and journals, in short: ``scripts/soak fuzz`` is the long form."""

import json  # noqa: TID251 - what damages frames shares nothing with the decoders
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from recorder.sources import load
from trials.fuzz.corpus import corpus_of
from trials.fuzz.damage import damaged, parsed, shown
from trials.fuzz.feeds import try_frames, try_steps
from trials.fuzz.outcome import says_nothing
from trials.fuzz.run import JOURNALS, new_store, numbers, targets


HERE = Path(__file__).parent
FOUND, FOUND_IN_STEPS = (
    [json.loads(line) for line in (HERE / name).read_text().splitlines()]
    for name in ("found.jsonl", "found_steps.jsonl")
)
FEEDS = sorted(targets().keys() - {JOURNALS})

briefly = settings(
    max_examples=2,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("case", FOUND, ids=lambda case: case["name"])
def test_what_was_found_once_leaves_something_of_every_frame(case, tmp_path):
    source = load(case["source"])
    frames = [frame.encode() for frame in case["frames"]]

    became = try_frames(source, corpus_of(source), frames, tmp_path / "store")

    assert became["undecodable, kept"] + became["kept"] > 0


@pytest.mark.parametrize("case", FOUND_IN_STEPS, ids=lambda case: case["name"])
def test_what_was_found_once_is_stored_as_it_was_said(case, tmp_path):
    source = load(case["source"])

    became = try_steps(source, corpus_of(source), case["steps"], tmp_path / "store")

    assert became.total() == sum(isinstance(what, str) for *_, what in case["steps"])


@pytest.mark.parametrize("name", FEEDS)
@given(given_numbers=numbers(40, 60))
@briefly
def test_of_damaged_frames_none_is_lost_and_none_ends_the_recording(
    name, given_numbers
):
    with new_store() as root:
        became = targets()[name](given_numbers, root)

    assert became.total() > 0


@given(given_numbers=numbers(2, 4))
@settings(briefly, max_examples=3)
def test_of_damaged_journals_nothing_is_read_but_what_was_written(given_numbers):
    with new_store() as root:
        done = targets()[JOURNALS](given_numbers, root)

    assert done["rows kept"] + done["rows lost"] > 0


def test_frames_are_damaged_in_the_same_way_again():
    frames = corpus_of(load("gate_spot")).frames

    once, again = ([damaged(frames, n) for n in range(500)] for _ in range(2))

    assert once == again
    changed = [found for found in once if found.payload != frames[found.place]]
    assert len(changed) > 300


def test_json_is_shown_as_it_was_parsed():
    text = '{"a":[1e999,NaN,-0.10,"\\u0000"],"a":{},"b":null}'

    assert shown(parsed(text.encode())) == text


@pytest.mark.parametrize("digits", [1, 5_000])
def test_a_frame_says_nothing_however_long_its_numbers_are(digits):
    frame = b'{"time":%s,"event":"update","result":%s}'

    assert says_nothing(frame % (b"9" * digits, b"[[]]"))
    assert not says_nothing(frame % (b"9" * digits, b"[[1]]"))
