"""Announcements made up from a seed: what exchanges could have said."""

import random
from typing import Final

from recorder.simulator.cryptolisting.wire import (
    LATER_LISTING_TYPES,
    LISTING_TYPES,
    Announcement,
)
from recorder.simulator.numbers import MS_NS


_TITLES: Final = {
    "binance": "Binance: {kind} {names}",
    # The exchange announces in Korean: characters of three bytes each.
    "upbit": "{names} 신규 거래지원 안내 ({kind})",
    "bithumb": "[마켓] {names} 원화 마켓 ({kind})",
}

EXCHANGES: Final = tuple(_TITLES)
"""The exchanges that are listened to."""


def make_news(rng: random.Random, generation: str, now_ns: int) -> Announcement:
    """Return an announcement that was detected just now.

    Args:
        rng: Decides everything but the time.
        generation: Of the documents: C knows more kinds.
        now_ns: The service's clock.
    """
    kinds = LISTING_TYPES + (LATER_LISTING_TYPES if generation == "C" else ())
    kind = rng.choice(kinds)
    publisher = rng.choice(EXCHANGES)
    tickers = tuple(_ticker(rng) for _ in range(rng.choice((0, 1, 1, 1, 2, 3))))
    return Announcement(
        title=_TITLES[publisher].format(kind=kind, names=", ".join(tickers)),
        tickers=tickers,
        publisher=publisher,
        listing_type=kind,
        detected_ns=now_ns,
        published_ns=now_ns - rng.randrange(MS_NS, 900 * MS_NS),
        is_abnormal=rng.random() < 0.1,
    )


def _ticker(rng: random.Random) -> str:
    return "".join(rng.choices("ABCDEFGHKLMNOPRSTUVXYZ", k=rng.randint(1, 6)))
