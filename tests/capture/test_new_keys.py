"""How often frames are searched for keys that are new."""

from types import SimpleNamespace

from recorder.capture.new_keys import KEYS_EVERY, NewKeys
from recorder.model import Trade


def test_a_frame_of_many_rows_is_searched_once():
    searched = []
    dialogue = SimpleNamespace(unknown_keys=lambda frame: searched.append(frame) or ())
    link = SimpleNamespace(dialogue=dialogue)
    keys, frame, next_frame = NewKeys("fake"), b'{"many":1}', b'{"more":1}'

    for _ in range(5 * KEYS_EVERY):
        keys.count(link, Trade, frame)
    for _ in range(KEYS_EVERY):
        keys.count(link, Trade, next_frame)

    assert searched == [frame, next_frame]
