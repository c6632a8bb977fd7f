"""``recorder recover``: convert what killed runs left."""

from pathlib import Path

import click

from recorder import times
from recorder.cli.options import store_option
from recorder.counts import counted
from recorder.store.recover import RecoveredRun, recover as recover_store


@click.command()
@store_option
def recover(store: Path) -> None:
    """Convert what killed runs left in a store, and say what they miss.

    Journals become segments; where a run was killed, its coverage ends where
    its last rows were safe, and a gap of reason process_killed begins. Runs
    that are alive are left alone. A capture that starts does all of this too,
    and doing it twice changes nothing.

    \b
    Example:
      recorder recover --store ./data
    """
    runs = recover_store(store)
    for run in runs:
        click.echo(_sentence(run))
    if not runs:
        click.echo(f"Nothing to recover in {store}.")


def _sentence(run: RecoveredRun) -> str:
    whose = f" of job {run.job}" if run.job else ""
    text = f"Run {run.run}{whose}: converted {counted(run.segments, 'journal')}"
    if run.was_killed and run.through_ns is not None:
        at = times.show_time(run.through_ns)
        text += f"; it was killed, its rows are here up to {at}"
    return text + "."
