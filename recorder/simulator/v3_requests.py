"""What is wrong with a v3 request, and how parameters are read."""

from typing import TypeVar

import msgspec

from recorder.simulator.wire_v3 import INVALID_ARGUMENT


Params = list[object]
T = TypeVar("T")


class RequestError(Exception):
    """A request is answered with an error; ``code`` says with which."""

    def __init__(self, code: int = INVALID_ARGUMENT) -> None:
        super().__init__(code)
        self.code = code


def converted(value: object, kind: type[T]) -> T:
    """Return parameters as values of a type.

    Raises:
        RequestError: If they are none.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RequestError from error
