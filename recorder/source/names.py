"""Streams and options as people type them, and in their canonical form."""

from collections.abc import Mapping, Sequence
from typing import Final

from recorder.errors import ConfigError
from recorder.source.contract import Source


_SHOWN: Final = 16
"""How many parameters an error message lists."""


def table_of(stream: str) -> str:
    """Return the table that a canonical stream fills: its name."""
    return stream.partition(":")[0]


def canonical_stream(source: Source, text: str) -> str:
    """Return ``NAME[:PARAMETER]`` in its canonical form.

    Args:
        source: The feed that is to offer it.
        text: As typed: ``depth``, ``klines:1m``.

    Returns:
        The name with its parameter, the default filled in.

    Raises:
        ConfigError: If the feed has no such stream or parameter; the
            message names what it has.
    """
    name, colon, parameter = text.partition(":")
    kinds = {kind.name: kind for kind in source.streams}
    kind = kinds.get(name)
    if kind is None:
        raise ConfigError(
            f"{source.name} has no stream {name!r}; it has {', '.join(kinds)}"
        )
    if not kind.parameters:
        if colon:
            raise ConfigError(f"{source.name} stream {name!r} takes no parameter")
        return name
    if not colon:
        if kind.default is None:
            raise ConfigError(
                f"{source.name} stream {name!r} needs a parameter: "
                f"one of {_several([f'{name}:{p}' for p in kind.parameters])}"
            )
        parameter = kind.default
    parameter = dict(kind.aliases).get(parameter, parameter)
    if parameter not in kind.parameters:
        raise ConfigError(
            f"{source.name} stream {name!r} has no parameter {parameter!r}; "
            f"legal are {_several(kind.parameters)}"
        )
    return f"{name}:{parameter}"


def _several(parameters: Sequence[str]) -> str:
    """Return parameters as a list that can be read: of many, the shortest."""
    if len(parameters) <= _SHOWN:
        return ", ".join(parameters)
    shown = sorted(parameters, key=len)[:_SHOWN]
    more = len(parameters) - _SHOWN
    return f"{', '.join(shown)} and {more} more; `recorder capture --help` lists all"


def resolve_options(source: Source, given: Mapping[str, str]) -> dict[str, str]:
    """Return all of a feed's options, defaults filled in.

    Raises:
        ConfigError: If a key or a value is not legal; the message names
            what is.
    """
    known = {option.name: option for option in source.options}
    for key, value in given.items():
        option = known.get(key)
        if option is None:
            names = ", ".join(known) or "none"
            raise ConfigError(f"{source.name} has no option {key!r}; it has {names}")
        if option.choices and value not in option.choices:
            raise ConfigError(
                f"{source.name} option {key!r} cannot be {value!r}; "
                f"choose from {', '.join(option.choices)}"
            )
    defaults = {
        name: option.default
        for name, option in known.items()
        if option.default is not None
    }
    return {**defaults, **given}
