"""What compiled functions call, and the arrays that they take.

The integer functions of `recorder.continuity` are made known to numba here:
compiled code calls them as they are.
"""

from typing import Final, TypeAlias, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from recorder import continuity, transitions
from recorder.store.machine_code import fingerprint_of


S = TypeVar("S", bound=np.generic)

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Codes: TypeAlias = npt.NDArray[np.int32]
Bits: TypeAlias = npt.NDArray[np.uint64]
Flags: TypeAlias = npt.NDArray[np.uint8]


_SEQUENCE_CHECK: Final = (
    continuity.classify_update,
    continuity.classify_snapshot,
    continuity.step_update,
    continuity.step_snapshot,
    continuity.step_lost,
    continuity.step_crossed,
    continuity.step_doubted,
)
for _function in _SEQUENCE_CHECK:
    register_jitable(_function)


def fingerprint() -> int:
    """Return a number that changes with the code of the sequence check."""
    start = crc32(repr(transitions.TRANSITIONS).encode())
    return fingerprint_of(_SEQUENCE_CHECK, start)


def read_only(array: npt.NDArray[S]) -> npt.NDArray[S]:
    """Return a view that cannot be written to, as Arrow's arrays cannot.

    Numba compiles a function once for each kind of array it meets.
    """
    view = array.view()
    view.flags.writeable = False
    return view
