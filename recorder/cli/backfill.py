"""``recorder backfill``: fetch afterwards what the gaps of a store lost."""

import asyncio
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Final

import click
import msgspec

from recorder import sources
from recorder.capture.backfill_offline import Address, Choice, Told, heal_store, look
from recorder.capture.plan import check_url, read_secrets
from recorder.cli import EXIT_FAILED
from recorder.cli.options import (
    check_range,
    parse_options,
    range_options,
    store_option,
)
from recorder.counts import counted
from recorder.errors import ConfigError
from recorder.source import Source, resolve_options
from recorder.store.listing import open_listing
from recorder.store.recover import recover
from recorder.times import show_time


_WORDS: Final = {
    "healed": "healed",
    "partial": "not healed",
    "askable": "can be asked about",
    "later": "not now",
    "open": "still open",
    "unable": "cannot be healed",
}


@click.command()
@store_option
@click.option("--source", "name", metavar="SOURCE", help="Only gaps of this feed.")
@click.option("--market", metavar="MARKET", help="Only gaps of this market.")
@range_options
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say which gaps could be asked about; ask and store nothing.",
)
@click.option(
    "-O",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set an option of the source, as for the capture; needs --source.",
)
@click.option("--ws-url", help="Instead of the venue's; needs --source.")
@click.option("--rest-url", help="Instead of the venue's; needs --source.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON, one object a gap.")
def backfill(
    store: Path,
    name: str | None,
    market: str | None,
    start: int | None,
    end: int | None,
    options: tuple[str, ...],
    ws_url: str | None,
    rest_url: str | None,
    *,
    dry_run: bool,
    is_json: bool,
) -> None:
    """Fetch what the gaps of a store lost, as far as the venues still tell it.

    Trades and closed klines can be had, order books cannot. A gap counts as
    healed only if it is proved that nothing is missing in it any more; of others
    the reason is printed and stored in their detail. A capture does this by
    itself while it runs. Doing it twice changes nothing.

    \b
    Example:
      recorder backfill --store ./data --dry-run

    \b
    Exit codes: 0 all that the venues tell is here; 1 a venue could not be
    asked, or the disk failed; 2 wrong usage; 75 somebody else does the same.
    """
    check_range(start, end)
    check_url("--ws-url", ws_url)
    check_url("--rest-url", rest_url)
    if name is None and (options or ws_url or rest_url):
        raise ConfigError("-O, --ws-url and --rest-url need a --source")
    feeds = _feeds(store, name)
    choice = Choice(market=market, start_ns=start, end_ns=end)
    printer = _Printer(is_json=is_json, is_dry=dry_run)
    if not dry_run:
        recover(store)
    for feed in feeds:
        if dry_run:
            for told in look(store, feed, choice):
                printer.tell(feed, told)
        elif feed.history:
            address = _address(feed, options, ws_url, rest_url)
            on_told = partial(printer.tell, feed)
            asyncio.run(heal_store(store, address, choice, on_told=on_told))
    printer.sum_up()
    if any(told.is_trouble for told in printer.told):
        sys.exit(EXIT_FAILED)


def _feeds(store: Path, name: str | None) -> list[Source]:
    """Return the feeds whose gaps are to be healed."""
    stored = open_listing(store).sources()
    known = sources.names()
    names = [feed for feed in stored if feed in known] if name is None else [name]
    return [sources.load(feed) for feed in names]


def _address(
    source: Source, options: tuple[str, ...], ws_url: str | None, rest_url: str | None
) -> Address:
    settings = resolve_options(source, parse_options(options))
    return Address(
        source=source,
        options=settings,
        secrets=read_secrets(source, os.environ),
        rest_url=rest_url or source.rest_url.format_map(settings),
        ws_url=ws_url or source.ws_url.format_map(settings),
    )


class _Printer:
    """Prints what becomes of gaps, as text or as JSON.

    Attributes:
        told: All of them.
    """

    def __init__(self, *, is_json: bool, is_dry: bool) -> None:
        self.told: list[Told] = []
        self._is_json = is_json
        self._is_dry = is_dry

    def tell(self, source: Source, told: Told) -> None:
        """Print one; as text, those of which nothing can be had are only counted."""
        self.told.append(told)
        if self._is_json:
            click.echo(self._json(source, told))
        elif told.state != "unable":
            click.echo(self._line(source, told))

    def sum_up(self) -> None:
        """Print how many there were of each kind, as text."""
        if self._is_json:
            return
        if not self.told:
            click.echo("No gap is left to be healed.")
            return
        counts = Counter(self._state(told) for told in self.told)
        parts = [f"{counts[s]} {word}" for s, word in _WORDS.items() if counts[s]]
        rows = sum(told.rows for told in self.told)
        fetched = "" if self._is_dry else f"; {counted(rows, 'row')} fetched"
        click.echo(f"{counted(len(self.told), 'gap')}: {', '.join(parts)}{fetched}.")

    def _state(self, told: Told) -> str:
        return "askable" if self._is_dry and told.state == "later" else told.state

    def _line(self, source: Source, told: Told) -> str:
        gap, state = told.gap, self._state(told)
        until = "now" if gap.ended_at is None else show_time(gap.ended_at)
        what = "everything" if gap.stream is None else gap.stream
        whose = f" of {gap.market}" if gap.market else ""
        span = f"{show_time(gap.started_at)} to {until}"
        why = "" if state == "askable" else f": {told.text}"
        return (
            f"{source.name} {what}{whose}, {gap.reason}, {span}: {_WORDS[state]}{why}"
        )

    def _json(self, source: Source, told: Told) -> str:
        gap = told.gap
        return msgspec.json.encode(
            {
                "source": source.name,
                "job": gap.job,
                "gap_id": gap.gap_id,
                "market": gap.market,
                "stream": gap.stream,
                "reason": gap.reason,
                "started_at": show_time(gap.started_at),
                "ended_at": None if gap.ended_at is None else show_time(gap.ended_at),
                "state": self._state(told),
                "rows": told.rows,
                "why": told.text,
            }
        ).decode()
