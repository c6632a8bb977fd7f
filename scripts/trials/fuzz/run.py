"""Fuzz every feed and the recovery of journals, for a while each."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

import hypothesis
from hypothesis import HealthCheck, Phase, strategies as st

from recorder.replay.watch import warm_up as warm_up_watch
from recorder.sources import load, names
from recorder.store.levels import warm_up
from trials.fuzz.corpus import corpus_of
from trials.fuzz.feeds import try_feed
from trials.fuzz.journals import try_journals


Trial: TypeAlias = Callable[[Sequence[int], Path], Counter[str]]

JOURNALS: Final = "journals"
MEMORY: Final = Path("/dev/shm")
"""Where stores are put: it is not the disk that is tried."""

EXAMPLES: Final = 20
"""Trials of a round."""

SIZES: Final = {JOURNALS: (1, 6)}
"""How many numbers a trial takes, at least and at most."""

FEED_SIZES: Final = (200, 1_000)
"""And those of feeds. A store that is made, verified and read takes longer than
a hundred frames."""


def targets() -> dict[str, Trial]:
    """Return all that is fuzzed, by name."""
    found: dict[str, Trial] = {}
    for name in names():
        source = load(name)
        if (Path(__file__).resolve().parents[3] / "tests/sources" / name).is_dir():
            found[name] = partial(try_feed, source, corpus_of(source))
    return found | {JOURNALS: try_journals}


def numbers(least: int, most: int) -> st.SearchStrategy[list[int]]:
    """Return lists of numbers, each of which says what is to be done."""
    # Mixed, for numbers that are drawn are small rather than large.
    one = st.integers(0, 2**62).map(lambda drawn: Random(drawn).randrange(2**48))
    return st.lists(one, min_size=least, max_size=most, unique=True)


@contextmanager
def new_store() -> Iterator[Path]:
    """A place for a store, which is removed afterwards."""
    home = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=home) as folder:
        yield Path(folder) / "store"


def run_fuzz(seconds: float, seed: int, only: Collection[str] = ()) -> list[str]:
    """Fuzz each target for so long; return what was found."""
    found = []
    # To compile takes half a minute, the first time on a machine.
    warm_up()
    warm_up_watch()
    for name, trial in targets().items():
        if only and name not in only:
            continue
        done: Counter[str] = Counter()
        complaint = fuzz(name, trial, seconds, seed, done)
        print(f"{name}: {done.pop('trials')} trials, {dict(done.most_common())}")
        if complaint is not None:
            print(f"FAIL  {name}: {complaint}")
            found.append(complaint)
    return found


def fuzz(
    name: str, trial: Trial, seconds: float, seed: int, done: Counter[str]
) -> str | None:
    """Fuzz one target; return the first that was found, made small."""
    until = time.monotonic() + seconds
    sizes = numbers(*SIZES.get(name, FEED_SIZES))
    tried: list[int] = []

    def one(given: list[int]) -> None:
        if time.monotonic() < until:
            tried[:] = given
            with new_store() as root:
                done.update(trial(given, root))
            done["trials"] += 1

    settings = hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    turn = 0
    while time.monotonic() < until:
        round_of_trials = hypothesis.given(sizes)(one)
        try:
            hypothesis.seed(seed * 1_000_000 + turn)(settings(round_of_trials))()
        except Exception as error:  # noqa: BLE001 - whatever it is, it was found
            small = smallest(trial, tried)
            done["trials"] += 1
            return f"{small}: {type(error).__name__}: {error}"[:4_000]
        turn += 1
    return None


def smallest(trial: Trial, given: Sequence[int]) -> list[int]:
    """Return as few of some numbers as still find something."""
    small, step = list(given), len(given) // 2
    while step:
        for begin in range(0, len(small), step):
            less = small[:begin] + small[begin + step :]
            if less and _fails(trial, less):
                small = less
                break
        else:
            step //= 2
    return small


def _fails(trial: Trial, given: Sequence[int]) -> bool:
    with new_store() as root:
        try:
            trial(given, root)
        except Exception:  # noqa: BLE001 - whatever it is, it was found
            return True
    return False
