"""What comes again and again is told once a minute."""

from recorder.capture import seldom as module
from recorder.capture.seldom import MINUTE_NS, Seldom


def test_the_first_of_a_kind_is_told_and_then_one_a_minute():
    seldom = Seldom()

    counts = [seldom.count("a", at) for at in (5, 6, MINUTE_NS + 4, MINUTE_NS + 5)]

    assert counts == [1, None, None, 3]
    assert seldom.count("b", 6) == 1


def test_no_more_kinds_are_remembered_than_a_few(monkeypatch):
    monkeypatch.setattr(module, "KINDS_MAX", 2)
    seldom = Seldom()

    for kind in ("a", "b", "c"):
        assert seldom.count(kind, 1) == 1

    assert seldom.count("c", 2) is None
    assert seldom.count("b", 2) is None
    assert seldom.count("a", 2) == 1
