"""Is all that a venue said of itself there once and unaltered, or in a gap?

Judged by what the venue said, whoever was there to hear it, and by what it
pushed: its last word is said again to whoever subscribes, and must be stored
once all the same.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from recorder.judging.evidence import Evidence, Stored, said, touches
from recorder.model import Chain
from recorder.simulator.truth import Facts, Notice


NAMES: Final = (
    "kind",
    "state",
    "title",
    "url",
    "publisher",
    "starts_at",
    "ends_at",
    "ts_event",
    "payload",
)
"""Columns that the truth speaks of, besides ``markets``: of some venues alone."""


class _Push(NamedTuple):
    """A message that was pushed over a connection.

    Attributes:
        ts_ns: When it was sent.
        last_ns: A later one of that connection was received then, so this one
            cannot have come after; None if none is stored.
        content: What it says.
    """

    ts_ns: int
    last_ns: int | None
    content: tuple[Any, ...]


class NoticeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """How the stored messages of one chain compare.

    Attributes:
        source: Name of the feed.
        chain: The chain.
        said: Messages of the venue while it was recorded.
        stored: Those among them that are stored.
        in_gaps: Those that are not, and lie in a gap that says so.
        repeated: How often one was pushed that had been pushed before.
        complaints: What is wrong, in words.
    """

    source: str
    chain: Chain
    said: int
    stored: int
    in_gaps: int
    repeated: int
    complaints: tuple[str, ...] = ()


def notice_chains(evidence: Evidence) -> list[Chain]:
    """Return the chains of a source on which the venue speaks of itself."""
    return [chain for chain in evidence.chains if chain.stream.startswith("status")]


def longest_way_ns(evidence: Evidence) -> int:
    """Return the longest time that a message took from the venue to us."""
    ways = [0]
    for chain in notice_chains(evidence):
        first: dict[tuple[Any, ...], int] = {}
        for push in _pushes(evidence, chain):
            first.setdefault(push.content, push.ts_ns)
        for row in evidence.stored.get(chain, ()):
            sent_at = first.get(_content(row.values), row.ts_recv)
            way = evidence.way_ns(row, sent_at)
            ways += [way] if way >= 0 else []
    return max(ways)


def judge_notices(
    evidence: Evidence, slack_ns: int, options: Collection[str] = ()
) -> list[NoticeVerdict]:
    """Judge the chains of a source on which the venue speaks of itself.

    Args:
        evidence: What both sides say.
        slack_ns: How much later than sent a row of this source may have come.
        options: Under which options the venue was heard, as the truth names
            them; what is said to all alike is always heard.
    """
    heard = {"", *options}
    return [
        _judge(evidence, chain, slack_ns, heard) for chain in notice_chains(evidence)
    ]


def _judge(
    evidence: Evidence, chain: Chain, slack_ns: int, heard: Collection[str]
) -> NoticeVerdict:
    notices = [
        notice
        for notice in evidence.truth.notices
        if (notice.feed, notice.stream) == (evidence.feed, chain.stream)
        and notice.option in heard
    ]
    # Notices about a connection are of another kind, and no row of the chain.
    kinds = {notice.facts["kind"] for notice in notices}
    rows = [
        row
        for row in evidence.stored.get(chain, ())
        if row.values["kind"] in kinds or not kinds
    ]
    conns = defaultdict(list)
    for row in rows:
        conns[_content(row.values)].append(row.conn)
    gaps = evidence.gaps_of(chain, "rows")

    def is_told(first: int, last: int | None) -> bool:
        last = evidence.read_after(first) + slack_ns if last is None else last
        return any(touches(gap, first, last) for gap in gaps)

    pushes = _pushes(evidence, chain)
    unstored = [p for p in pushes if p.content not in conns]
    untold = [p for p in unstored if not is_told(p.ts_ns, p.last_ns)]
    expected = _expected(evidence, chain, notices)
    missing = [n for n in expected if _content(n.facts) not in conns]
    unheard = {push.content for push in untold}
    tried = {push.content for push in unstored}
    lost = [
        notice
        for notice in missing
        if (content := _content(notice.facts)) in unheard
        or (content not in tried and not is_told(notice.ts_ns, None))
    ]
    known = {_content(notice.facts) for notice in notices}
    strange = [_place(row) for row in rows if _content(row.values) not in known]
    doubled = [
        content[-1] for content, came in conns.items() if evidence.is_twice(came)
    ]
    about = f"{evidence.source} {chain.stream}"
    complaints = [
        f"{about}: {len(examples)} {what}: {said(examples)}"
        for what, examples in (
            ("messages are lost in silence", [n.ts_ns for n in lost]),
            (
                "pushed messages are not stored and lie in no gap",
                [push.ts_ns for push in untold],
            ),
            ("messages are stored more than once", doubled),
            ("stored messages were never said", strange),
        )
        if examples
    ]
    if not rows:
        complaints.append(f"{about}: no message is stored")
    return NoticeVerdict(
        source=evidence.source,
        chain=chain,
        said=len(expected),
        stored=len(expected) - len(missing),
        in_gaps=len(missing) - len(lost),
        repeated=len(pushes) - len({push.content for push in pushes}),
        complaints=tuple(complaints),
    )


def _expected(
    evidence: Evidence, chain: Chain, notices: Collection[Notice]
) -> list[Notice]:
    """Return what was said while the chain was recorded."""
    covered = [c for c in evidence.coverage if c.chain == chain]
    began = min((c.started_at for c in covered), default=0)
    ended = max((c.ended_at for c in covered), default=0)
    return [notice for notice in notices if began <= notice.ts_ns < ended]


def _pushes(evidence: Evidence, chain: Chain) -> list[_Push]:
    """Return what was pushed in frames that could be read."""
    pushes: list[_Push] = []
    ours = {their: our for our, their in evidence.conns_of(chain).items()}
    stored: dict[str, dict[tuple[Any, ...], int]] = defaultdict(dict)
    for row in evidence.rows_of(chain):
        stored[row.conn][_content(row.values)] = row.ts_recv
    for conn, frames in evidence.sent_to(chain).items():
        received = stored.get(ours.get(conn, ""), {})
        last_ns = None
        for frame in reversed(frames):
            for facts in reversed(frame.facts if frame.is_whole else ()):
                content = _content(facts)
                pushes.append(_Push(frame.ts_ns, last_ns, content))
                at = received.get(content, 0)
                if at >= frame.ts_ns:  # else it was pushed before, and stored then
                    last_ns = at
    return pushes


def _content(values: Facts | Mapping[str, Any]) -> tuple[Any, ...]:
    markets = values.get("markets")
    named = ",".join(markets) if isinstance(markets, list) else markets
    return named, *(values[name] for name in NAMES)


def _place(row: Stored) -> str:
    return f"{row.conn}/{row.seq}.{row.idx} received at {row.ts_recv}"
