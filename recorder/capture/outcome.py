"""How a run that ended in order went: has it failed at what it was to do?"""

from recorder.capture.lines import Lines
from recorder.capture.plan import CapturePlan
from recorder.capture.session import Session


def why_failed(
    plan: CapturePlan, session: Session, lines: Lines, *, is_deadline: bool
) -> str | None:
    """Return why a run failed at what it was to do, as a sentence; None if not.

    Told to end before anything was tried, or soon after the start, it has not
    failed.

    Args:
        plan: What was to be recorded.
        session: What came of it.
        lines: The connections.
        is_deadline: Whether it ended because its time was over.
    """
    if not lines.was_connected:
        whys = lines.failures
        if is_deadline:
            whys.append("there was no time to connect")
        if whys:
            return f"the venue was never reached: {whys[0]}"
    if is_deadline or session.was_ignored:
        return _unanswered(plan, session, lines)
    return None


def _unanswered(plan: CapturePlan, session: Session, lines: Lines) -> str | None:
    """Return a sentence about chains that were asked for in vain."""
    known = session.accepted | set(session.refused)
    silent = [chain for chain in plan.chains if chain not in known]
    if not silent:
        return None
    if not session.accepted:
        if lines.failures and not session.was_ignored:  # the venue did say something
            return (
                "the venue accepted no subscription, so nothing was recorded: "
                f"{lines.failures[0]}"
            )
        return (
            "the venue answered no subscription, so nothing was recorded; check "
            "that --ws-url is an address of this source (what it did send is in "
            "the table frames)"
        )
    return (
        f"the venue did not answer {len(silent)} of {len(plan.chains)} "
        f"subscriptions, such as {silent[0].words}; nothing of them was recorded"
    )
