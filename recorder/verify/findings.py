"""What can be wrong with a store, what it means, and what was found.

Times are our clock, nanoseconds since 1970 UTC.
"""

from collections import Counter, defaultdict
from typing import Final, Literal

import msgspec


KEPT_OF_A_KIND: Final = 200
"""Findings of a kind that are kept; the others are counted."""

Severity = Literal["error", "warning"]


class Kind(msgspec.Struct, frozen=True):
    """A kind of finding.

    Attributes:
        severity: An error breaks a promise of the store; a warning does not.
        title: What is the matter, in a few words.
        meaning: What that means for who reads the data.
        advice: What to do about it.
    """

    severity: Severity
    title: str
    meaning: str
    advice: str


_RESTORE: Final = "Restore the file from a copy, or move it out of the store."
_REPORT: Final = (
    "The recorder should not have written that: keep the store as it is, and report it."
)
_LEDGER: Final = "Trust no gap-free interval of these chains until it is understood."

KINDS: Final[dict[str, Kind]] = {
    # Files.
    "unreadable_file": Kind(
        "error",
        "files that cannot be read",
        "Their rows are lost to every reader, and a query over them fails.",
        _RESTORE + " Where there is no copy, its time is missing and no gap says so.",
    ),
    "unknown_schema": Kind(
        "error",
        "files of a table or version that this release does not know",
        "Readers refuse them.",
        "Install a newer release, or move the files out of the store.",
    ),
    "wrong_columns": Kind(
        "error",
        "files whose columns are not those of their table",
        "Queries over them fail, or show a column as null.",
        _RESTORE,
    ),
    "footer_disagrees": Kind(
        "error",
        "files that do not hold what their footer says",
        "They were changed after the recorder wrote them, or belong to another file.",
        _RESTORE,
    ),
    "empty_file": Kind(
        "error",
        "files without rows",
        "The recorder writes none: somebody replaced them.",
        _RESTORE,
    ),
    "wrong_partition": Kind(
        "error",
        "rows in the folder of another day or source",
        "Queries by date or source miss them, or take them for others.",
        "Move the files back to where they were.",
    ),
    "wrong_name": Kind(
        "error",
        "files whose name does not fit their rows",
        "Readers skip files by their name, and so miss rows.",
        "Give the files the names that they had, or restore them.",
    ),
    "foreign_rows": Kind(
        "error",
        "rows of another run than their file's",
        "They cannot be told from rows of that run.",
        _RESTORE,
    ),
    "unsorted_rows": Kind(
        "error",
        "files whose rows are not sorted",
        "Replays take rows in their order: books may come out wrong.",
        _RESTORE,
    ),
    "backward_time": Kind(
        "error",
        "later frames of a connection that were received earlier",
        "Times of receipt never decrease within a connection; these were changed.",
        _RESTORE,
    ),
    "doubled_rows": Kind(
        "error",
        "rows that stand at the same place of the same frame",
        "Sums count them twice.",
        "Look whether a file was copied within the store; remove the copy.",
    ),
    "missing_file": Kind(
        "error",
        "files that runs wrote and that are not here",
        "A run numbers its files. Their rows are lost, and no gap says so.",
        "Restore them from a copy.",
    ),
    "unknown_file": Kind(
        "error",
        "files among the data that are none of ours",
        "Tools that read all files below a table's folder read these, too.",
        "Move them out of the store.",
    ),
    "foreign_file": Kind(
        "warning",
        "other things in the store's folder",
        "No reader looks at them.",
        "Move them elsewhere, if they are of use.",
    ),
    # Rows.
    "doubled_trades": Kind(
        "error",
        "trades that one run stored more than once",
        "Volumes count them twice.",
        _REPORT,
    ),
    "doubled_updates": Kind(
        "error",
        "book changes that one run stored more than once",
        "Replays pass them over; counts do not.",
        _REPORT,
    ),
    "impossible_ids": Kind(
        "error",
        "depth rows with ids that no message has",
        "Their books cannot be replayed.",
        _RESTORE,
    ),
    "missing_updates": Kind(
        "error",
        "book changes that are missing while no gap says so",
        "The book is not known there, and the data claim to be whole.",
        _LEDGER + " Restore what was removed.",
    ),
    "missing_trades": Kind(
        "error",
        "trades that are missing while no gap says so",
        "The market's running numbers leave them out.",
        _LEDGER + " Restore what was removed.",
    ),
    "crossed_book": Kind(
        "error",
        "books with their best bid at or above their best ask, and no gap says so",
        "They are not shown from there to the next snapshot.",
        _LEDGER,
    ),
    "unknown_book": Kind(
        "error",
        "books that a replay cannot show while no gap says so",
        "What a replay needs is not in the store.",
        _LEDGER + " Restore what was removed.",
    ),
    "early_rows": Kind(
        "warning",
        "rows received before they happened, by the venue's clock",
        "Our clock was behind: latencies are not to be trusted there.",
        "Keep the clock of this machine right (NTP).",
    ),
    "rows_in_gap": Kind(
        "error",
        "rows received in gaps that say that nothing was",
        "Either the gap or the time of the rows is wrong.",
        _REPORT,
    ),
    # The ledger.
    "no_ledger": Kind(
        "error",
        "rows of which the ledger does not speak",
        "Nothing says what is missing around them.",
        "Restore the tables coverage and gaps.",
    ),
    "untold_time": Kind(
        "error",
        "time that is neither covered nor in a gap",
        "Nobody can say whether rows are missing there.",
        _LEDGER + " Restore what was removed from coverage or gaps.",
    ),
    "coverage_in_gap": Kind(
        "error",
        "time that is covered and in a gap of rows",
        "One of the two is wrong.",
        _LEDGER,
    ),
    "covered_twice": Kind(
        "error",
        "time that one job covers twice",
        "Covered time adds up to more than there was.",
        "Look whether a file of coverage was copied within the store.",
    ),
    "missed_twice": Kind(
        "error",
        "time that lies in two gaps of rows of one job",
        "Missing time adds up to more than there was.",
        "Look whether a revision that ends one of them was removed.",
    ),
    "ledger_ends": Kind(
        "error",
        "chains that nobody records any more, and no open gap says so",
        "What is not recorded now looks like nothing.",
        "Restore what was removed from gaps.",
    ),
    "impossible_interval": Kind(
        "error",
        "intervals of the ledger that end before they begin",
        "They tell nothing.",
        _RESTORE,
    ),
    # What runs left.
    "dead_run": Kind(
        "error",
        "runs that died and were not put in order",
        "What they missed is not among the gaps yet.",
        "recorder recover --store DIR, or start the capture again.",
    ),
    "unreadable_run": Kind(
        "error",
        "run files that cannot be read",
        "What was open when the run ended is not known; captures refuse to start.",
        "Move the file away, then recorder recover --store DIR.",
    ),
    "orphan_journal": Kind(
        "error",
        "journals of runs that do not live",
        "Readers see their rows, but they are neither sorted nor final.",
        "recorder recover --store DIR, or start the capture again.",
    ),
    "damaged_journal": Kind(
        "error",
        "journals that the disk damaged",
        "Rows behind the damage cannot be read.",
        "Check the disk. recorder recover --store DIR saves what precedes the "
        "damage and notes what is missing.",
    ),
    "torn_journal": Kind(
        "warning",
        "damaged journals that were set aside",
        "A gap of the reason journal_damaged says what they lost.",
        "Remove them from .recorder/torn once nobody wants to look at them.",
    ),
    "untold_damage": Kind(
        "error",
        "damaged journals that were set aside, and no gap says so",
        "Rows are lost in silence.",
        "Look at what can be read of them, in .recorder/torn.",
    ),
    "leftover_file": Kind(
        "error",
        "unfinished files that nobody works on any more",
        "They take room and nothing else.",
        "recorder recover --store DIR; remove by hand what is left then.",
    ),
}
"""All kinds by name, in the order in which they are told."""


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that was found.

    Attributes:
        kind: A name of `KINDS`.
        detail: One sentence, with the facts.
        path: Which file, relative to the store.
        source: Whose data.
        table: In which table.
        market: About which market.
        stream: About which stream.
        job: In whose ledger.
        started_at: Since when, nanoseconds.
        ended_at: Until when.
        count: How many rows, or whatever ``detail`` counts.
    """

    kind: str
    detail: str
    path: str | None = None
    source: str | None = None
    table: str | None = None
    market: str | None = None
    stream: str | None = None
    job: str | None = None
    started_at: int | None = None
    ended_at: int | None = None
    count: int = 1

    @property
    def severity(self) -> Severity:
        """``error`` or ``warning``."""
        return KINDS[self.kind].severity


class Checked(msgspec.Struct, kw_only=True):
    """What was looked at.

    Attributes:
        files: Segments and journals.
        rows: In them.
        bytes: Their size.
        chains: Accounts that were added up.
        books: Order books that were replayed.
        book_rows: Their messages.
        runs_alive: Runs that record now.
    """

    files: int = 0
    rows: int = 0
    bytes: int = 0
    chains: int = 0
    books: int = 0
    book_rows: int = 0
    runs_alive: int = 0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` says of a store.

    Attributes:
        store: The store's folder.
        checked: What was looked at.
        findings: In the order of `KINDS`; of each at most `KEPT_OF_A_KIND`.
        counts: How many findings there are of each kind.
        skipped: What was not looked at, and why, in words.
    """

    store: str
    checked: Checked
    findings: tuple[Finding, ...]
    counts: dict[str, int]
    skipped: tuple[str, ...] = ()

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return self._count("error")

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return self._count("warning")

    def _count(self, severity: Severity) -> int:
        return sum(
            n for kind, n in self.counts.items() if KINDS[kind].severity == severity
        )


class Findings:
    """Collects findings; keeps a bounded number of them."""

    def __init__(self) -> None:
        self._found: dict[str, list[Finding]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self.skipped: list[str] = []

    def add(self, finding: Finding) -> None:
        """Take a finding."""
        self.counts[finding.kind] += 1
        kept = self._found[finding.kind]
        if len(kept) < KEPT_OF_A_KIND:
            kept.append(finding)

    def skip(self, what: str) -> None:
        """Note, once, what is not looked at, and why."""
        if what not in self.skipped:
            self.skipped.append(what)

    def report(self, store: str, checked: Checked) -> Report:
        """Return all that was found."""
        return Report(
            store=store,
            checked=checked,
            findings=tuple(f for kind in KINDS for f in self._found.get(kind, ())),
            counts={kind: self.counts[kind] for kind in KINDS if self.counts[kind]},
            skipped=tuple(self.skipped),
        )
