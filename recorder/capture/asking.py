"""Book snapshots by HTTP, asked for as they become due.

Those that books need come first; where none is due, a book is audited.
"""

import asyncio
from collections.abc import Mapping

from recorder.capture.rest import RestClient
from recorder.capture.session import Session
from recorder.clock import Clock
from recorder.errors import ThrottledError, TransportError
from recorder.model import Chain
from recorder.source import HttpRequest


async def ask_for_snapshots(
    session: Session, rest: RestClient, options: Mapping[str, str], clock: Clock
) -> None:
    """Ask for the snapshots that a session wants, one after another, for ever.

    Args:
        session: Says what is due, and is told what became of it.
        rest: Shares its budget with others that do the same.
        options: The feed's, all of them.
        clock: Gives receive times.

    Raises:
        ValueError: If the source has no snapshots by HTTP.
    """
    rule = session.source.snapshot
    if rule is None:
        raise ValueError("this source has no snapshots by HTTP")
    while True:
        due = session.books.next_due(clock.now_ns())
        if due is None:
            audited = session.audits.next_due(clock.now_ns())
            if audited is None:
                await asyncio.sleep(0.02)
            else:
                await _audit(
                    session, rest, rule.request(audited, options), audited, clock
                )
            continue
        chain, epoch = due
        request = rule.request(chain, options)
        try:
            body = await rest.get(request)
        except TransportError as exc:
            why, wait = str(exc), 0.0
            if isinstance(exc, ThrottledError):
                why, wait = f"too many requests: {exc}", exc.retry_after_seconds
            session.snapshots.failed(chain, why)
            later = clock.now_ns() + int(wait * 1e9)
            session.books.snapshot_failed(chain, epoch, later)
            continue
        session.snapshots.take(chain, epoch, request, clock.now_ns(), body)


async def _audit(
    session: Session,
    rest: RestClient,
    request: HttpRequest,
    chain: Chain,
    clock: Clock,
) -> None:
    """Ask for a snapshot to compare a book with."""
    try:
        body = await rest.get(request)
    except TransportError as exc:
        session.audits.failed(chain, str(exc), clock.now_ns())
    else:
        session.audits.take(chain, clock.now_ns(), body)
