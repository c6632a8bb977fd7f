import logging
import re
from contextvars import copy_context

import msgspec

from recorder.cli import logs
from recorder.telemetry import FEED, Signal, emit


class Opened(Signal):
    message = "connection opened"
    level = logging.INFO

    url: str
    market: str | None = None
    attempts: int = 1


class Chatter(Signal):
    message = "chatter"
    level = logging.DEBUG


def test_a_text_line_has_time_level_message_and_facts(capsys):
    logs.configure(json_logs=False)

    emit(Opened(url="ws://x/y", market="BTC USDT"))

    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z INFO    connection opened "
        r'url=ws://x/y market="BTC USDT" attempts=1\n',
        err,
    )


def test_of_several_feeds_a_line_says_which(capsys):
    def emit_both():
        FEED.set("spot")
        logs.configure(json_logs=False)
        emit(Opened(url="ws://x/y"))
        logs.configure(json_logs=True)
        emit(Opened(url="ws://x/y"))

    copy_context().run(emit_both)
    emit(Opened(url="ws://x/y"))

    text, *objects = capsys.readouterr().err.splitlines()
    assert text.endswith(" connection opened feed=spot url=ws://x/y attempts=1")
    first, second = (msgspec.json.decode(line) for line in objects)
    assert first.pop("feed") == "spot"
    assert first.keys() == second.keys()


def test_a_json_line_is_one_object(capsys):
    logs.configure(json_logs=True)

    emit(Opened(url="ws://x/y"))

    line = msgspec.json.decode(capsys.readouterr().err)
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "Opened",
        "message": "connection opened",
        "facts": {"url": "ws://x/y", "attempts": 1},
    }


def test_events_below_the_level_are_left_out(capsys):
    logs.configure(json_logs=False)
    emit(Chatter())
    logs.configure(json_logs=False, level=logging.DEBUG)
    emit(Chatter())

    assert capsys.readouterr().err.count("chatter") == 1


def test_configuring_again_does_not_double_the_lines(capsys):
    logs.configure(json_logs=True)
    logs.configure(json_logs=False)

    emit(Opened(url="x"))

    assert len(capsys.readouterr().err.splitlines()) == 1


def test_an_exception_in_another_package_is_one_line_too(capsys):
    logs.configure(json_logs=False)

    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("asyncio").exception("it\nfailed")

    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(r'ERROR   it\nfailed error="ValueError: two\nlines"')


def test_other_packages_are_heard_from_warnings_up(capsys):
    logs.configure(json_logs=True)

    logging.getLogger("aiohttp").info("hello")
    logging.getLogger("aiohttp").warning("watch out")

    (line,) = capsys.readouterr().err.splitlines()
    assert msgspec.json.decode(line)["event"] == "aiohttp"


def test_an_empty_fact_is_seen_to_be_empty(capsys):
    logs.configure(json_logs=False)

    emit(Opened(url=""))

    assert 'url="" attempts=1' in capsys.readouterr().err
