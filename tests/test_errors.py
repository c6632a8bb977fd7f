"""The class of an error says who is at fault; its text what to do."""

import inspect

import pytest

from recorder import errors
from recorder.errors import (
    ConfigError,
    JobRunningError,
    RecorderError,
    StoreError,
    ThrottledError,
    TransportError,
)


def tree(kind=RecorderError, depth=0):
    """Return the classes as (depth, name), depth first, in the order written."""
    found = [(depth, kind.__name__)]
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            found += tree(child, depth + 1)
    return found


def test_the_tree_that_the_module_shows_is_the_tree_of_its_classes():
    shown = []
    for line in errors.__doc__.splitlines()[2:]:
        name = line.lstrip("│├└ ").partition(" ")[0]
        if name.endswith("Error"):
            shown.append(((line.index(name) + 1) // 3, name))

    assert shown == tree()


@pytest.mark.parametrize(
    "kind",
    [kind for _, kind in inspect.getmembers(errors, inspect.isclass)],
    ids=lambda kind: kind.__name__,
)
def test_every_error_says_what_it_means(kind):
    assert issubclass(kind, RecorderError)
    assert kind.__name__.endswith("Error")
    assert kind.__doc__


def test_being_throttled_is_the_networks_trouble_and_says_how_long():
    error = ThrottledError(7.5)

    assert isinstance(error, TransportError)
    assert error.retry_after_seconds == 7.5
    assert str(error) == "the venue asks to wait 7.5 s"


def test_a_job_that_runs_already_says_who_holds_it_and_what_to_do():
    error = JobRunningError("nightly", "run x, process 7")

    assert isinstance(error, StoreError)
    assert (error.job, error.holder) == ("nightly", "run x, process 7")
    assert str(error) == (
        "job 'nightly' is already running (run x, process 7); "
        "stop that run, or choose another --job"
    )


def test_a_plain_error_says_what_it_was_given():
    assert str(ConfigError("no source 'x'")) == "no source 'x'"
