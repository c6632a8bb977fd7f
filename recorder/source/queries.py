"""What a venue answers when it is asked over its WebSocket: questions as data.

A question is asked once and answered once, and nothing goes on afterwards. It
is about a market, and says more by its parameters, which people type as text.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from recorder.errors import ConfigError
from recorder.model import WireEvent
from recorder.times import parse_seconds, parse_time


Value: TypeAlias = str | int
"""A parameter as the feed is told it; see `Parameter.kind`."""

NOW: Final = "now"
"""Stands for our clock where a time is wanted."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """What a question says beside its market.

    Attributes:
        name: As typed, without the dashes: ``limit``.
        doc: One sentence for ``--help``.
        kind: ``choice``: one of ``choices``, a text. ``whole``: a whole
            number. ``seconds``: a length of time, typed as ``90s`` or ``1h``,
            in whole seconds. ``time``: nanoseconds since 1970 UTC, typed as
            ISO-8601 or as ``now``.
        choices: Legal texts of a choice.
        lowest: The least that a number may be.
        highest: The most.
        default: As typed; None if it must be given.
    """

    name: str
    doc: str
    kind: Literal["choice", "whole", "seconds", "time"]
    choices: tuple[str, ...] = ()
    lowest: int = 0
    highest: int = 2**63 - 1
    default: str | None = None

    def value(self, text: str, now_ns: int) -> Value:
        """Return what a text stands for.

        Args:
            text: As typed.
            now_ns: Our clock, nanoseconds since 1970 UTC.

        Raises:
            ConfigError: If it is not legal; the message says what is.
        """
        match self.kind:
            case "choice":
                if text in self.choices:
                    return text
                raise self._error(text, f"choose from {', '.join(self.choices)}")
            case "time":
                return now_ns if text == NOW else parse_time(text)
            case "seconds":
                length = parse_seconds(text)
                if length != int(length):
                    raise self._error(text, "give whole seconds")
                number = int(length)
            case "whole":
                if not (text.isascii() and text.isdigit()):
                    raise self._error(text, "give a whole number")
                number = int(text)
        if not self.lowest <= number <= self.highest:
            raise self._error(text, f"it lies in {self.lowest} to {self.highest}")
        return number

    def _error(self, text: str, advice: str) -> ConfigError:
        return ConfigError(f"--{self.name} cannot be {text!r}; {advice}")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An answer.

    Attributes:
        events: What it says, in its order.
    """

    events: tuple[WireEvent, ...]


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """An error instead of an answer.

    Attributes:
        reason: In the venue's words.
        is_trouble: Whether it is the venue's own trouble, which may be over
            when it is asked again.
    """

    reason: str
    is_trouble: bool


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A question that a venue answers.

    Attributes:
        name: As typed: ``trades``.
        doc: One sentence for ``--help``.
        table: The table that has rows like those of the answer.
        columns: Those of its columns that an answer can fill, beside the
            market.
        parameters: What it says beside its market.
        ask: The request of a number, for a market and all parameters.
        answer: What a frame is: the answer to that request, or None if it
            answers something else; raises `WireError`.
    """

    name: str
    doc: str
    table: str
    columns: tuple[str, ...]
    parameters: tuple[Parameter, ...] = ()
    ask: Callable[[int, str, Mapping[str, Value]], bytes]
    answer: Callable[[int, str, Mapping[str, Value], bytes], Told | Denied | None]

    def values(self, given: Mapping[str, str], now_ns: int) -> dict[str, Value]:
        """Return all parameters: as typed, or their defaults.

        Args:
            given: Texts by name; those that are not given are left out.
            now_ns: Our clock, nanoseconds since 1970 UTC.

        Raises:
            ConfigError: If one is not legal, or missing.
        """
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            text = given.get(parameter.name, parameter.default)
            if text is None:
                legal = ", ".join(parameter.choices) or "a value"
                raise ConfigError(f"--{parameter.name} is missing: give {legal}")
            values[parameter.name] = parameter.value(text, now_ns)
        return values
