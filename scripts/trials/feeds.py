"""Every feed there is, in one run: a configuration file, and the keys it needs."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from recorder.capture.feeds import Feeds, plan_feeds
from recorder.simulator.cryptolisting.news import EXCHANGES
from recorder.simulator.server import Exchange
from recorder.sources import load
from trials.report import (
    AUDIT_SECONDS,
    FLUSH_SECONDS,
    FUTURES,
    LANGUAGES,
    LISTINGS,
    STREAMS,
    config,
)


ACCOUNT = {"gate_v3": ("orders", "balances")}
"""Streams of our own account."""

HEARD = (*LANGUAGES, *EXCHANGES)
"""What venues that speak of themselves are heard under: all there is."""


def feeds_of(root: Path, exchange: Exchange, file: Path) -> Feeds:
    """Write a file that names every feed of an exchange; return what it says.

    Args:
        root: The store.
        exchange: Which is open.
        file: To be written.
    """
    return plan_feeds(file, write_feeds(root, exchange, file))


def write_feeds(
    root: Path, exchange: Exchange, file: Path, **changes: object
) -> dict[str, str]:
    """Write a file that names every feed of an exchange.

    Args:
        root: The store.
        exchange: Which is open.
        file: To be written.
        changes: Settings of all feeds that are to be others.

    Returns:
        The keys that the feeds need, as variables of the environment.
    """
    head = {
        "store": str(root.absolute()),
        "flush": f"{FLUSH_SECONDS * 1000:.0f}ms",
        "rotate": "20s",
        "audit": f"{AUDIT_SECONDS:.0f}s",
        "job": "soak",
    }
    lines = [*_lines(head | changes), ""]
    environ = {}
    for source in STREAMS | FUTURES | LISTINGS:
        asked = config(root, exchange, source)
        facts = {
            "source": source,
            "streams": (*asked.streams, *ACCOUNT.get(source, ())),
            "ws_url": asked.ws_url,
            "rest_url": asked.rest_url,
            **({"markets": asked.markets} if asked.markets else {}),
            **{f"options.{name}": value for name, value in asked.options.items()},
        }
        lines += ["[[source]]", *_lines(facts), ""]
        keys = exchange.keys.get(source, {})
        environ |= {secret.env: keys[secret.name] for secret in load(source).secrets}
    file.write_text("\n".join(lines))
    return environ


def _lines(facts: Mapping[str, object]) -> list[str]:
    """Return lines of TOML, in which texts and lists look the same as in JSON."""
    return [f"{k} = {msgspec.json.encode(v).decode()}" for k, v in facts.items()]
