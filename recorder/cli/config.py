"""``recorder config``: check a configuration file, or see an example of one."""

import os
from collections.abc import Sequence
from pathlib import Path

import click

from recorder.capture.choosing import EXCLUDES, is_exclusion
from recorder.capture.feeds import Feed, plan_feeds
from recorder.capture.plan import CapturePlan
from recorder.capture.rest import without_secrets
from recorder.capture.spread import spread
from recorder.cli.example import example_file
from recorder.cli.options import to_output
from recorder.cli.sink import check_free, open_sink


MARKETS_SHOWN = 8


@click.group()
def config() -> None:
    """Check a configuration file, or show an example of one.

    \b
    Examples:
      recorder config example -o recorder.toml
      recorder config check recorder.toml
      recorder capture --config recorder.toml
    """


@config.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> None:
    """Say what FILE would record, from where; nothing is opened or asked.

    Everything that is wrong with it is told at once, by line; the exit code
    is 2 then.
    """
    feeds = plan_feeds(file, os.environ)
    click.echo(f"{file}: job {feeds.job}, into {feeds.store}")
    facts = feeds.feeds[0].plan.config
    click.echo(
        f"  Parquet every {facts.rotate_seconds:g} s, flushed every "
        f"{facts.flush_seconds:g} s, {facts.memory_mb} MB may wait, "
        f"{'all frames' if facts.is_archiving else 'no frames'} archived"
    )
    for feed in feeds.feeds:
        for line in _about(feed):
            click.echo(line)


@config.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    callback=to_output,
    help="Write to a file instead of stdout.",
)
@click.option("--force", is_flag=True, help="Let -o replace a file that exists.")
def example(output: Path | None, *, force: bool) -> None:
    """Show a file with all that can be said in it, and every source."""
    if output is not None:
        check_free(output, force=force)
    with open_sink(output, force=force) as sink:
        sink.write(example_file().encode())


def _about(feed: Feed) -> list[str]:
    """Return what there is to say of a feed before it is recorded."""
    plan = feed.plan
    options = "".join(f" {name}={value}" for name, value in plan.options.items())
    lines = [
        f"{feed.name}: {plan.source.name}{options}, job {plan.job}",
        f"  from {without_secrets(plan.ws_url)}",
        f"  {', '.join(plan.streams)}",
    ]
    if plan.rest_url:
        lines[1] += f" and {without_secrets(plan.rest_url)}"
    if plan.config.markets:
        lines.append(f"  of {_markets(plan)}")
    for secret in plan.source.secrets:
        state = "set" if secret.name in plan.secrets else "not set"
        lines.append(f"  {secret.env} is {state}")
    return lines


def _markets(plan: CapturePlan) -> str:
    """Return in words which markets are recorded."""
    wanted = tuple(dict.fromkeys(plan.config.markets))
    if not plan.has_patterns:
        connections = len(spread(plan.source, plan.chains))
        link = "one connection" if connections == 1 else f"{connections:,} connections"
        return f"{_several(wanted)}, over {link}"
    found = [market for market in wanted if not is_exclusion(market)]
    barred = [m.removeprefix(EXCLUDES) for m in wanted if is_exclusion(m)]
    text = f"{_several(found)}, as the venue lists them at the start"
    return text + (f", but for {_several(barred)}" if barred else "")


def _several(markets: Sequence[str]) -> str:
    shown = ", ".join(markets[:MARKETS_SHOWN])
    more = len(markets) - MARKETS_SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
