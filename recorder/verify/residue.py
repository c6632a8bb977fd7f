"""What runs left, and what does not belong into a store.

Whether a run lives, its lock says. What looks dead is looked at once more when
everything else is done: a run that is only just starting, or ending, is no
finding.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from recorder.errors import StoreError
from recorder.store.disk import told
from recorder.store.layout import (
    INTERNAL,
    is_date,
    is_source,
    journals_folder,
    list_files,
    parse_stem,
    runs_folder,
    tmp_folder,
    utc_text,
)
from recorder.store.locks import is_held
from recorder.store.runfile import read_run_file, run_lock_path
from recorder.store.tables import TABLES
from recorder.verify.findings import Finding, Findings
from recorder.verify.ledger import Ledgers


PAUSE_SECONDS: Final = 0.3

RUN_ENDINGS: Final = (".json", ".heartbeat", ".lock")
OURS: Final = frozenset({"journals", "last", "locks", "runs", "tmp", "torn"})


def check_residue(root: Path, findings: Findings, ledgers: Ledgers) -> None:
    """Look for what dead runs left, and for what is none of ours.

    Args:
        root: The store's folder.
        findings: Told of it.
        ledgers: What is said to be damaged.

    Raises:
        StoreError: If a folder may not be read.
    """
    with told(f"read the store {root}"):
        dead = _dead_runs(root)
        _check_runs(root, findings, dead)
        _check_journals(root, findings, dead)
        _check_unfinished(root, findings, dead)
        _check_torn(root, findings, ledgers)
        _check_strangers(root, findings)


def _dead_runs(root: Path) -> set[str]:
    """Return the runs of which something is left and that do not live."""
    seen = {path.name.partition(".")[0] for path in _files(runs_folder(root))}
    seen |= {stem.run for _, stem, _ in list_files(journals_folder(root), ".arrow")}
    seen |= {_run_of_unfinished(path) for path in _files(tmp_folder(root))}
    dead = {run for run in seen if not is_held(run_lock_path(root, run))}
    if dead:
        # A run makes the file of its lock before it holds it, and one that ends
        # removes its files before it lets go.
        time.sleep(PAUSE_SECONDS)
    return {run for run in dead if not is_held(run_lock_path(root, run))}


def _run_of_unfinished(path: Path) -> str:
    _, _, rest = path.name.partition("_")
    return rest.partition("_")[0]


def _check_runs(root: Path, findings: Findings, dead: set[str]) -> None:
    left: dict[str, list[str]] = {}
    for path in _files(runs_folder(root)):
        if path.suffix in RUN_ENDINGS and path.stem in dead:
            left.setdefault(path.stem, []).append(path.name)
    for run, names in sorted(left.items()):
        finding = _of_dead_run(root, run, names)
        if any((runs_folder(root) / name).exists() for name in names):
            findings.add(finding)


def _of_dead_run(root: Path, run: str, names: list[str]) -> Finding:
    path = runs_folder(root) / f"{run}.json"
    try:
        said = read_run_file(root, run)
    except StoreError as error:
        return Finding(
            kind="unreadable_run",
            detail=str(error.__cause__ or error),
            path=_told(root, path),
        )
    if said is None:
        return Finding(
            kind="leftover_file",
            detail=f"run {run} is over, and left {', '.join(names)}",
            path=_told(root, runs_folder(root) / names[0]),
            count=len(names),
        )
    return Finding(
        kind="dead_run",
        detail=f"run {run} was last alive at {utc_text(said.through_ns)}",
        path=_told(root, path),
        source=said.source,
        job=said.job,
        started_at=said.started_at,
        ended_at=said.through_ns,
    )


def _check_journals(root: Path, findings: Findings, dead: set[str]) -> None:
    for partition, stem, path in list_files(journals_folder(root), ".arrow"):
        if stem.run in dead and path.exists():
            findings.add(
                Finding(
                    kind="orphan_journal",
                    detail=f"its run {stem.run} does not live",
                    path=_told(root, path),
                    source=partition.source,
                    table=partition.table,
                )
            )


def _check_unfinished(root: Path, findings: Findings, dead: set[str]) -> None:
    """Look for files that were on their way to a final name."""
    unfinished = [
        (path, "it never got its final name")
        for path in _files(tmp_folder(root))
        if _run_of_unfinished(path) in dead
    ]
    unfinished += [
        (path, "it was to replace the run file")
        for path in _files(runs_folder(root))
        if path.suffix == ".new" and path.name.partition(".")[0] in dead
    ]
    for path, detail in unfinished:
        if path.exists():
            findings.add(
                Finding(kind="leftover_file", detail=detail, path=_told(root, path))
            )


def _check_torn(root: Path, findings: Findings, ledgers: Ledgers) -> None:
    for partition, stem, path in list_files(root / INTERNAL / "torn", ".arrow"):
        wanted = f"{stem.run}.damaged.{partition.table}.{stem.number}"
        gaps = ledgers.of(partition.source).gaps
        is_told = any(said.gap.gap_id == wanted for said in gaps)
        findings.add(
            Finding(
                kind="torn_journal" if is_told else "untold_damage",
                detail=f"gap {wanted}" if is_told else f"there is no gap {wanted}",
                path=_told(root, path),
                source=partition.source,
                table=partition.table,
            )
        )


def _check_strangers(root: Path, findings: Findings) -> None:
    internal = root / INTERNAL
    among_data: list[Path] = []
    elsewhere: list[Path] = []
    for path in _entries(root):
        if path.name in TABLES:
            among_data += _strangers(path, ".parquet")
        elif path != internal:
            elsewhere.append(path)
    elsewhere += [path for path in _entries(internal) if path.name not in OURS]
    for folder in ("journals", "torn"):
        for path in _entries(internal / folder):
            elsewhere += _strangers(path, ".arrow")
    for folder, endings in (
        ("runs", (*RUN_ENDINGS, ".new")),
        ("locks", (".lock", ".next", ".leave", ".new")),
    ):
        paths = _entries(internal / folder)
        elsewhere += [path for path in paths if path.suffix not in endings]
    for path in among_data:
        _add_stranger(root, path, "unknown_file", findings)
    for path in elsewhere:
        _add_stranger(root, path, "foreign_file", findings)


def _strangers(folder: Path, ending: str) -> Iterator[Path]:
    """Yield what lies below a table's folder and is not named as ours.

    Of a folder that is a stranger, each file in it.
    """
    if folder.name not in TABLES or not folder.is_dir():
        yield folder
        return
    for source in _entries(folder):
        name = source.name.removeprefix("source=")
        if name == source.name or not is_source(name) or not source.is_dir():
            yield from _all_below(source)
            continue
        for day in _entries(source):
            date = day.name.removeprefix("date=")
            if date == day.name or not is_date(date) or not day.is_dir():
                yield from _all_below(day)
                continue
            for path in _entries(day):
                is_ours = parse_stem(path.name.removesuffix(ending)) is not None
                if not (is_ours and path.name.endswith(ending) and path.is_file()):
                    yield from _all_below(path)


def _all_below(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = False
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            found = True
            yield Path(folder, name)
    if not found:
        yield path


def _add_stranger(root: Path, path: Path, kind: str, findings: Findings) -> None:
    if not path.exists() and not path.is_symlink():  # it is gone by now
        return
    what = "a folder" if path.is_dir() else "a file"
    findings.add(
        Finding(
            kind=kind,
            detail=f"{what} that the recorder does not make",
            path=_told(root, path),
        )
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if path.is_file()]


def _told(root: Path, path: Path) -> str:
    return str(path.relative_to(root))
