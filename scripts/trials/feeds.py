"""Every feed there is, in one run: a configuration file, and the keys it needs."""

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
    tables = []
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
        # Texts and lists of texts look the same in JSON and in TOML.
        lines = [f"{k} = {msgspec.json.encode(v).decode()}" for k, v in facts.items()]
        tables += ["[[source]]", *lines, ""]
        keys = exchange.keys.get(source, {})
        environ |= {secret.env: keys[secret.name] for secret in load(source).secrets}
    head = [
        f"store = {msgspec.json.encode(str(root.absolute())).decode()}",
        f'flush = "{FLUSH_SECONDS * 1000:.0f}ms"',
        'rotate = "20s"',
        f'audit = "{AUDIT_SECONDS:.0f}s"',
        'job = "soak"',
        "",
    ]
    file.write_text("\n".join([*head, *tables]))
    return plan_feeds(file, environ)
