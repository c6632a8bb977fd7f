"""``recorder fetch``: ask a venue once over its WebSocket, and print the answer.

The sources, their questions and the options of each are what the feeds say:
the commands below ``fetch`` are made of that when they are called.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recorder import sources
from recorder.capture.plan import check_url, read_secrets, with_query
from recorder.capture.questions import Answer, open_questions
from recorder.cli.options import (
    Command,
    check_range,
    output_options,
    parse_options,
)
from recorder.cli.output import FORMATS, check_output, choose_format, write_rows
from recorder.clock import wall_ns
from recorder.counts import counted
from recorder.errors import ConfigError, SourceError
from recorder.source import Parameter, Query, Source, Value, resolve_options
from recorder.store.batch import RowTuple, build
from recorder.store.tables import TABLES
from recorder.times import parse_seconds


BOOK: Final = "depth"
"""The table whose rows are printed level by level, as in the view ``depth_levels``."""


class _Sources(click.Group):
    """The sources that can be asked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names."""
        return [name for name in sources.names() if sources.load(name).queries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return the questions of a source.

        Raises:
            ConfigError: If there is no such source, or it cannot be asked.
        """
        source = sources.load(cmd_name)
        if not source.queries:
            raise ConfigError(
                f"{cmd_name} answers no questions over its WebSocket; "
                f"these do: {', '.join(self.list_commands(ctx))}"
            )
        return _Questions(source)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, of the first source."""
        for name in self.list_commands(ctx)[:1]:
            formatter.write(f"\nExamples:\n  recorder fetch {name} --help\n")
            for query in sources.load(name).queries:
                needed = [p for p in query.parameters if p.default is None]
                words = "".join(f" --{p.name} {_usual(p)}" for p in needed)
                formatter.write(
                    f"  recorder fetch {name} {query.name} BTC_USDT{words}\n"
                )


class _Questions(click.Group):
    """What one source can be asked."""

    def __init__(self, source: Source) -> None:
        super().__init__(
            name=source.name,
            help=f"Ask {source.doc}.",
            subcommand_metavar="QUERY MARKET...",
        )
        self._source = source

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the questions."""
        return [query.name for query in self._source.queries]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return one of them.

        Raises:
            ConfigError: If there is none of that name.
        """
        for query in self._source.queries:
            if query.name == cmd_name:
                return _command(self._source, query)
        raise ConfigError(
            f"{self._source.name} cannot be asked for {cmd_name!r}; it can for "
            f"{', '.join(self.list_commands(ctx))}"
        )


@click.group(cls=_Sources, subcommand_metavar="SOURCE QUERY MARKET...")
def fetch() -> None:
    """Ask a venue once over its WebSocket, and print the answer.

    Nothing is stored. Of several markets each is asked for, over one
    connection.

    \b
    Exit codes: 0 all was told; 1 it could not be had; 2 the venue refused to
    tell it, or wrong usage.
    """


def _command(source: Source, query: Query) -> click.Command:
    """Return the command that asks a question."""

    def run(**given: Any) -> None:
        texts = {
            parameter.name: given.pop(_variable(parameter))
            for parameter in query.parameters
        }
        known = {name: text for name, text in texts.items() if text is not None}
        _fetch(source, query, known, **given)

    command: click.Command = Command(
        name=query.name,
        callback=run,
        help=query.doc,
        short_help=query.doc,
        params=[
            click.Argument(["markets"], nargs=-1, required=True, metavar="MARKET..."),
            *(_option(parameter) for parameter in query.parameters),
            click.Option(
                ["-O", "options"],
                multiple=True,
                metavar="KEY=VALUE",
                help="Set a source's option.",
            ),
            click.Option(
                ["--ws-url"], help="Instead of the venue's WebSocket address."
            ),
            click.Option(
                ["--timeout"],
                metavar="SPAN",
                default="10s",
                show_default=True,
                help="How long to wait for an answer.",
            ),
        ],
    )
    return output_options(*FORMATS)(command)


def _usual(parameter: Parameter) -> str:
    """Return an example of what may be typed."""
    return "1m" if "1m" in parameter.choices else "".join(parameter.choices[:1])


def _variable(parameter: Parameter) -> str:
    return f"parameter_{parameter.name.replace('-', '_')}"


def _option(parameter: Parameter) -> click.Option:
    metavars = {"whole": "N", "seconds": "SPAN", "time": "TIME"}
    default = parameter.default
    shown = "required" if default is None else f"default: {default}"
    return click.Option(
        [f"--{parameter.name}", _variable(parameter)],
        metavar=metavars.get(parameter.kind) or "|".join(parameter.choices),
        help=f"{parameter.doc}  [{shown}]",
    )


def _fetch(
    source: Source,
    query: Query,
    texts: Mapping[str, str],
    *,
    markets: tuple[str, ...],
    options: tuple[str, ...],
    ws_url: str | None,
    timeout: str,
    format_: str | None,
    output: Path | None,
    force: bool,
) -> None:
    """Ask about markets, and print the answers.

    Raises:
        ConfigError: If something that was typed cannot be.
        QuestionRefusedError: If the venue refuses.
        TransportError, SourceError: If no answer can be had.
    """
    values = query.values(texts, wall_ns())
    _check_times(query, values)
    seconds = parse_seconds(timeout)
    if seconds <= 0:
        raise ConfigError("--timeout must be longer than nothing")
    check_url("--ws-url", ws_url)
    chosen = choose_format(format_, output, FORMATS)
    check_output(chosen, output, force=force)
    settings = resolve_options(source, parse_options(options))
    address = ws_url or source.ws_url.format_map(settings)
    url = with_query(address, source.ws_query(settings))
    asked = tuple(dict.fromkeys(markets))
    answers = asyncio.run(_ask(source, query, values, settings, url, asked, seconds))
    rows = _table(source, query, answers)
    write_rows(rows.schema, iter(rows.to_batches()), chosen, output, force=force)
    click.echo(counted(rows.num_rows, "row"), err=True)


def _check_times(query: Query, values: Mapping[str, Value]) -> None:
    times = [p.name for p in query.parameters if p.kind == "time"]
    if {"from", "to"} <= set(times):
        check_range(int(values["from"]), int(values["to"]))


async def _ask(
    source: Source,
    query: Query,
    values: Mapping[str, Value],
    settings: Mapping[str, str],
    url: str,
    markets: Sequence[str],
    timeout_seconds: float,
) -> list[Answer]:
    async with open_questions(
        source,
        url,
        options=settings,
        secrets=read_secrets(source, os.environ),
        timeout_seconds=timeout_seconds,
    ) as questions:
        return [await questions.ask(query, market, values) for market in markets]


def _table(source: Source, query: Query, answers: Sequence[Answer]) -> pa.Table:
    """Return the answers as one table, numbers as they would be stored.

    Raises:
        SourceError: If an answer has a value that no column can hold.
    """
    table = TABLES[query.table]
    rows: list[RowTuple] = [
        (answer.ts_recv, "", number, place, event, answer.payload)
        for number, answer in enumerate(answers)
        for place, event in enumerate(answer.events)
    ]
    built = build(table, rows, source.name)
    if built.faults:
        fault = built.faults[0]
        raise SourceError(
            f"what {source.name} answers about {fault.market} cannot be read: "
            f"{fault.error}"
        )
    for _, _, _, _, kept, _ in built.kept:
        click.echo(f"Rounded to the nearest double: {kept.error}.", err=True)
    told = {"ts_recv", "market", *query.columns}
    names = [column.name for column in table.columns if column.name in told]
    if query.table == BOOK:
        return _by_level(built.batch, names)
    return pa.Table.from_batches([built.batch.select(names)])


def _by_level(books: pa.RecordBatch, names: Sequence[str]) -> pa.Table:
    """Return books in their long form: a row for each level.

    Args:
        books: Rows of the table `BOOK`.
        names: The columns that each level is told with.
    """
    parts, owners = [], []
    for side, column in (("bid", "bids"), ("ask", "asks")):
        levels = books.column(column)
        owner = pc.list_parent_indices(levels).to_numpy()
        first = np.searchsorted(owner, owner)
        flat: Any = pc.list_flatten(levels)
        head = pa.Table.from_batches([books.select(names)]).take(owner)
        parts.append(
            head.append_column("side", pa.array([side] * len(owner), pa.string()))
            .append_column("level", pa.array(np.arange(len(owner)) - first + 1))
            .append_column("price", pc.struct_field(flat, "price"))
            .append_column("amount", pc.struct_field(flat, "amount"))
        )
        owners.append(owner)
    order = np.argsort(np.concatenate(owners), kind="stable")
    return pa.concat_tables(parts).unify_dictionaries().combine_chunks().take(order)
