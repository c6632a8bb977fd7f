"""``recorder markets``: what a venue lists, with its spelling."""

import asyncio
from fnmatch import fnmatchcase
from pathlib import Path

import click
import pyarrow as pa

from recorder import sources
from recorder.capture.market_lists import decode_list, fetch_list, list_of
from recorder.capture.plan import check_url
from recorder.cli.options import Command, output_options, parse_options
from recorder.cli.output import check_output, choose_format, write_rows
from recorder.counts import counted
from recorder.model import Market
from recorder.source import resolve_options


FORMATS = ("table", "csv", "json")


@click.command(cls=Command)
@click.argument("source")
@click.option("--like", metavar="PATTERN", help="Only such markets: '*_USDT'.")
@click.option("--rest-url", metavar="URL", help="Ask there instead of the venue.")
@click.option(
    "-O", "options", multiple=True, metavar="KEY=VALUE", help="Set a source's option."
)
@output_options(*FORMATS)
def markets(
    source: str,
    options: tuple[str, ...],
    like: str | None,
    rest_url: str | None,
    format_: str | None,
    output: Path | None,
    *,
    force: bool,
) -> None:
    """List the markets of SOURCE, in the venue's own spelling.

    \b
    Examples:
      recorder markets <source> --like '*_USDT'
      recorder markets <source> --format csv -o markets.csv
    """
    check_url("--rest-url", rest_url)
    feed = sources.load(source)
    listing = list_of(feed)
    chosen = choose_format(format_, output, FORMATS)
    check_output(chosen, output, force=force)
    settings = resolve_options(feed, parse_options(options))
    address = rest_url or feed.rest_url.format_map(settings)
    body = asyncio.run(fetch_list(address, listing.request(settings)))
    listed = decode_list(listing, address, body)
    found = [
        market for market in listed if like is None or fnmatchcase(market.market, like)
    ]
    rows = _table(found)
    write_rows(rows.schema, iter(rows.to_batches()), chosen, output, force=force)
    none = "" if found or not listed else f": none of {len(listed)} is like {like!r}"
    click.echo(f"{counted(len(found), 'market')}{none}", err=True)


def _table(found: list[Market[str]]) -> pa.Table:
    names = [
        name for name in Market.__struct_fields__ if name not in {"payload", "ts_event"}
    ]
    values = {name: [getattr(market, name) for market in found] for name in names}
    return pa.table(values, schema=pa.schema([(name, pa.string()) for name in names]))
