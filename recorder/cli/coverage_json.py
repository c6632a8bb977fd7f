"""A report of coverage as JSON, piece by piece: a large store has millions of gaps."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from recorder import times
from recorder.query.coverage import Account, ChainCoverage, CoverageReport
from recorder.query.spans import Ints


def json_of(report: CoverageReport) -> Iterator[bytes]:
    """Yield a report as JSON: an object whose lists have an entry a line.

    Times are ISO-8601 text, lengths are seconds.
    """
    head = {
        "store": report.path,
        "from": times.show_time(report.started_at),
        "to": times.show_time(report.ended_at),
        "sources": {name: _account(a) for name, a in report.sources.items()},
        "died": [_timed(msgspec.to_builtins(run)) for run in report.died],
    }
    yield msgspec.json.encode(head).removesuffix(b"}")
    yield from _list("chains", map(_chain, report.chains))
    yield from _list("gaps", (_timed(msgspec.to_builtins(g)) for g in report.gaps))
    yield b"}\n"


def _list(name: str, entries: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    yield f',\n"{name}": ['.encode()
    for number, entry in enumerate(entries):
        yield (b"," if number else b"") + b"\n" + msgspec.json.encode(entry)
    yield b"]"


def _chain(chain: ChainCoverage) -> dict[str, Any]:
    return {
        "source": chain.source,
        "market": chain.market,
        "stream": chain.stream,
        "from": times.show_time(chain.started_at),
        "to": times.show_time(chain.ended_at),
        **_account(chain.account),
        "missing": _spans(chain.missing),
        "jobs": [
            {
                "job": job.job,
                "from": times.show_time(job.started_at),
                "to": times.show_time(job.ended_at),
                **_account(job.account),
            }
            for job in chain.jobs
        ],
    }


def _account(account: Account) -> dict[str, Any]:
    return {
        "covered_share": account.covered_share,
        "covered_seconds": account.covered_ns / 1e9,
        "healed_seconds": account.healed_ns / 1e9,
        "missing_seconds": account.missing_ns / 1e9,
        "gaps_total": account.gaps.all,
        "gaps_open": account.gaps.open,
        "gaps_healed": account.gaps.healed,
    }


def _spans(spans: Ints) -> list[list[str]]:
    return [[times.show_time(at) for at in span] for span in spans.tolist()]


_TIMES = ("started_at", "ended_at", "last_alive_at")


def _timed(entry: dict[str, Any]) -> dict[str, Any]:
    for name in _TIMES:
        if entry.get(name) is not None:
            entry[name] = times.show_time(entry[name])
    return entry
