"""Reading coverage and gaps of a store, and laying them over each other."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from recorder.query.coverage import (
    Account,
    ChainCoverage,
    CoverageGap,
    CoverageReport,
    GapCounts,
    JobCoverage,
)
from recorder.query.info import died
from recorder.query.spans import Ints, Islands, islands_of


Ask: TypeAlias = Callable[[str], pa.Table]
"""Asks a store in SQL; all answers are of the same instant."""

MENTIONED: Final = "coverage, gaps"
"""The views that are asked for."""

_FOREVER: Final = (1 << 63) - 1

_Key: TypeAlias = tuple[str, str, str, str]
"""Source, market (empty for none), stream, job."""


class Part(NamedTuple):
    """Which part of a store is meant; None means all.

    Attributes:
        source: Name of the feed.
        market: The venue's spelling.
        stream: Canonical name.
        job: Name of the job.
        start_ns: First instant, our clock, nanoseconds.
        end_ns: First instant after.
    """

    source: str | None = None
    market: str | None = None
    stream: str | None = None
    job: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None

    @property
    def first(self) -> int:
        """First instant."""
        return 0 if self.start_ns is None else self.start_ns

    def where(self) -> str:
        """Return SQL that is true of rows of this part, and of a whole job's."""
        conditions = ["true"]
        for name, value in (("source", self.source), ("job", self.job)):
            if value is not None:
                conditions.append(f"{name} = {_quoted(value)}")
        for name, value in (("market", self.market), ("stream", self.stream)):
            if value is not None:
                conditions.append(f"({name} = {_quoted(value)} OR stream IS NULL)")
        return " AND ".join(conditions)


def read_coverage(
    path: Path, ask: Ask, part: Part, *, with_gaps: bool
) -> CoverageReport:
    """Return what was recorded, and what is missing.

    Args:
        path: The store's folder.
        ask: Asks it.
        part: What is meant.
        with_gaps: Whether each gap is to be told, too.

    Raises:
        StoreError: If a file cannot be read.
    """
    [known] = ask(_KNOWN).to_pylist()
    end = known["through"] or 0
    if part.end_ns is not None:
        end = min(end, part.end_ns)
    values = {"where": part.where(), "first": part.first, "end": end}
    values["forever"] = _FOREVER
    for statement in _PREPARE:
        ask(statement.format_map(values))
    keys = [_key(row) for row in ask(_CHAINS).to_pylist()]
    covered, missed = _numbers(ask(_COVERED)), _numbers(ask(_MISSED))
    chains = tuple(_Accounts(keys, covered, missed).chains())
    sources = {
        source: _sum([chain.account for chain in mine])
        for source, mine in groupby(chains, key=lambda chain: chain.source)
    }
    gaps = ask(_GAPS.format_map(values)).to_pylist() if with_gaps else []
    return CoverageReport(
        path=str(path),
        started_at=min((chain.started_at for chain in chains), default=0),
        ended_at=max((chain.ended_at for chain in chains), default=0),
        sources=sources,
        chains=chains,
        gaps=tuple(msgspec.convert(gaps, list[CoverageGap])),
        died=died(path),
    )


_KNOWN: Final = """
SELECT epoch_ns(max(instant)) AS through FROM (
    SELECT max(ended_at) AS instant FROM coverage
    UNION ALL SELECT max(started_at) FROM gaps
    UNION ALL SELECT max(ended_at) FROM gaps
)
"""

_PREPARE: Final = (
    """
    CREATE TEMP TABLE covered_spans AS
    SELECT
        source, coalesce(market, '') AS market, stream, job,
        greatest(epoch_ns(started_at), {first}) AS first,
        least(epoch_ns(ended_at), {end}) AS last
    FROM coverage
    WHERE {where} AND epoch_ns(ended_at) > {first} AND epoch_ns(started_at) < {end}
    """,
    """
    CREATE TEMP TABLE missed_spans AS
    SELECT
        source, coalesce(market, '') AS market, stream, job,
        greatest(epoch_ns(started_at), {first}) AS first,
        least(coalesce(epoch_ns(ended_at), {end}), {end}) AS last,
        ended_at IS NULL AS is_open,
        healed_by IS NOT NULL AS is_healed
    FROM gaps
    WHERE
        {where} AND scope = 'rows'
        AND epoch_ns(started_at) <= {end}
        AND (ended_at IS NULL OR epoch_ns(ended_at) >= {first})
    """,
    """
    CREATE TEMP TABLE chains AS
    SELECT *, row_number() OVER (ORDER BY source, market, stream, job) - 1 AS number
    FROM (
        SELECT source, market, stream, job FROM covered_spans
        UNION
        SELECT source, market, stream, job FROM missed_spans WHERE stream IS NOT NULL
    )
    """,
    # From when until when a job recorded each of its chains.
    """
    CREATE TEMP TABLE listed AS
    SELECT number, min(began) AS began, max(ended) AS ended
    FROM (
        SELECT
            source, coalesce(market, '') AS market, stream, job,
            epoch_ns(started_at) AS began, epoch_ns(ended_at) AS ended
        FROM coverage
        UNION ALL
        SELECT
            source, coalesce(market, ''), stream, job,
            epoch_ns(started_at), coalesce(epoch_ns(ended_at), {forever})
        FROM gaps WHERE scope = 'rows'
    ) JOIN chains USING (source, market, stream, job)
    GROUP BY number
    """,
)

_CHAINS: Final = "SELECT source, market, stream, job FROM chains ORDER BY number"

_COVERED: Final = """
SELECT number, first, last
FROM covered_spans JOIN chains USING (source, market, stream, job)
"""

_MISSED: Final = """
SELECT number, first, last, is_open::BIGINT AS is_open, is_healed::BIGINT AS is_healed
FROM missed_spans JOIN chains USING (source, market, stream, job)
UNION ALL
SELECT
    number, greatest(first, began), least(last, ended),
    is_open::BIGINT, is_healed::BIGINT
FROM missed_spans JOIN chains USING (source, job) JOIN listed USING (number)
WHERE missed_spans.stream IS NULL AND first < ended AND greatest(last, first + 1) > began
"""

_GAPS: Final = """
SELECT
    gap_id, source, job, market, stream, scope, reason,
    epoch_ns(started_at) AS started_at, epoch_ns(ended_at) AS ended_at,
    healed_by, detail
FROM gaps
WHERE
    {where} AND epoch_ns(started_at) <= {end}
    AND (ended_at IS NULL OR epoch_ns(ended_at) >= {first})
ORDER BY source, started_at, gap_id
"""


class _Accounts:
    """Coverage and gaps of chains, laid over each other.

    Args:
        keys: The chains of each job, sorted.
        covered: Columns ``number`` (of a key), ``first``, ``last``.
        missed: The same, ``is_open`` and ``is_healed``.
    """

    def __init__(
        self, keys: Sequence[_Key], covered: dict[str, Ints], missed: dict[str, Ints]
    ) -> None:
        self._keys = keys
        self._missed = missed
        chains = [key[:3] for key in keys]
        changes = [here != before for before, here in pairwise(chains)]
        self._chain_of = np.cumsum([0, *changes], dtype=np.int64)
        self._healed = missed["is_healed"] == 1
        self._is_mark = (missed["first"] == missed["last"]) & ~self._healed
        self._by_job = self._sets(covered, missed, None)
        self._by_chain = self._sets(covered, missed, self._chain_of)

    def _sets(
        self, covered: dict[str, Ints], missed: dict[str, Ints], of: Ints | None
    ) -> tuple[Islands, Islands, Islands]:
        """Return what is covered, what is here, and what is told."""
        columns = [
            np.concatenate([covered[name], missed[name]])
            for name in ("number", "first", "last")
        ]
        if of is not None and len(self._keys):
            columns[0] = of[columns[0]]
        is_covered = np.arange(len(columns[0])) < len(covered["number"])
        is_here = np.concatenate([np.ones(len(covered["number"]), bool), self._healed])
        return (
            islands_of(*(column[is_covered] for column in columns)),
            islands_of(*(column[is_here] for column in columns)),
            islands_of(*columns),
        )

    def chains(self) -> Iterator[ChainCoverage]:
        """Return the coverage of each chain, by source, market and stream."""
        count = len(self._keys)
        jobs = _accounts(self._by_job, count, self._counts(np.arange(count)))
        accounts = _accounts(self._by_chain, count, self._counts(self._chain_of))
        marks = self._marks()
        numbered = enumerate(self._keys)
        for chain, mine in groupby(numbered, key=lambda it: int(self._chain_of[it[0]])):
            numbers = [number for number, _ in mine]
            source, market, stream, _ = self._keys[numbers[0]]
            covered, here, told = (islands.of(chain) for islands in self._by_chain)
            mine_marks = marks.of(chain)[:, 0]
            started_at, ended_at = _ends(told, mine_marks)
            yield ChainCoverage(
                source=source,
                market=market or None,
                stream=stream,
                started_at=started_at,
                ended_at=ended_at,
                account=accounts[chain],
                jobs=tuple(self._job(number, jobs[number]) for number in numbers),
                covered=covered,
                here=here,
                told=told,
                marks=mine_marks,
            )

    def _marks(self) -> Islands:
        """Return the gaps of no length, by chain."""
        chains = self._chain_of[self._missed["number"][self._is_mark]]
        instants = self._missed["first"][self._is_mark]
        order = np.lexsort((instants, chains))
        return Islands(chains[order], instants[order], instants[order])

    def _job(self, number: int, account: Account) -> JobCoverage:
        started_at, ended_at = _ends(self._by_job[2].of(number), np.zeros(0, np.int64))
        return JobCoverage(
            job=self._keys[number][3],
            started_at=started_at,
            ended_at=ended_at,
            account=account,
        )

    def _counts(self, of: Ints) -> list[GapCounts]:
        """Return how many gaps there are of each job's chain, or of each chain."""
        count = len(self._keys)
        if not count:
            return []
        numbers = of[self._missed["number"]]
        columns = (
            np.bincount(numbers, minlength=count),
            np.bincount(numbers[self._missed["is_open"] == 1], minlength=count),
            np.bincount(numbers[self._healed], minlength=count),
        )
        return [
            GapCounts(all=all_, open=open_, healed=healed)
            for all_, open_, healed in zip(*(c.tolist() for c in columns), strict=True)
        ]


def _accounts(
    sets: tuple[Islands, Islands, Islands], count: int, gaps: list[GapCounts]
) -> list[Account]:
    covered, here, told = (islands.totals(count).tolist() for islands in sets)
    return [
        Account(
            covered_ns=covered[number],
            healed_ns=here[number] - covered[number],
            missing_ns=told[number] - here[number],
            gaps=gaps[number],
        )
        for number in range(count)
    ]


def _ends(told: Ints, marks: Ints) -> tuple[int, int]:
    """Return the first instant of which anything is told, and the first after all."""
    starts = [*told[:1, 0].tolist(), *marks[:1].tolist()]
    ends = [*told[-1:, 1].tolist(), *marks[-1:].tolist()]
    return min(starts, default=0), max(ends, default=0)


def _sum(accounts: Sequence[Account]) -> Account:
    gaps = [account.gaps for account in accounts]
    return Account(
        covered_ns=sum(account.covered_ns for account in accounts),
        healed_ns=sum(account.healed_ns for account in accounts),
        missing_ns=sum(account.missing_ns for account in accounts),
        gaps=GapCounts(
            all=sum(count.all for count in gaps),
            open=sum(count.open for count in gaps),
            healed=sum(count.healed for count in gaps),
        ),
    )


def _numbers(table: pa.Table) -> dict[str, Ints]:
    return {
        name: table.column(name).to_numpy().astype(np.int64, copy=False)
        for name in table.column_names
    }


_key: Callable[[dict[str, str]], _Key] = itemgetter("source", "market", "stream", "job")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
