"""What captures have in common on the command line: how they end."""

import asyncio
import shlex
import signal
from collections.abc import Iterator, Sequence

from recorder.capture.many import Outcome
from recorder.capture.plan import CaptureResult
from recorder.capture.rest import without_secrets
from recorder.cli import EXIT_FAILED, EXIT_USAGE, exit_code, logs
from recorder.config import CaptureConfig


def stop_on_signals() -> asyncio.Event:
    """Return what SIGINT and SIGTERM set from now on.

    To be called first of all: getting ready may take a while.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def report(result: CaptureResult | None, feed: str | None = None) -> int:
    """Say what went wrong, if anything; return the exit code.

    Args:
        result: How a capture ended; None if it did not begin.
        feed: Which it was, where there are several.
    """
    if result is None:
        return 0
    of = f"{feed}: " if feed else ""
    for sentence in _refusals(result):
        logs.complain(f"{of}{sentence}")
    is_all_refused = result.refused and len(result.refused) == result.chains
    if result.failure is not None and not is_all_refused:
        logs.complain(f"{of}{result.failure}")
    return result.exit_code


def _refusals(result: CaptureResult) -> Iterator[str]:
    """Yield what there is to say of chains that the venue refused."""
    lists = f"`{_command_of_markets(result.config)}`"
    for chain, reason in result.refused.items():
        if chain not in result.keys_refused:
            advice = f"; {lists} lists what it has" if chain.market else ""
            yield f"the venue refused {chain.words}: {reason}{advice}"
    by_reason: dict[str, list[str]] = {}
    for chain in sorted(result.keys_refused):
        by_reason.setdefault(result.refused[chain], []).append(chain.words)
    for reason, named in by_reason.items():
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        yield f"nothing of {', '.join(named[:3])}{more} was recorded: {reason}"


def _command_of_markets(config: CaptureConfig) -> str:
    """Return what lists the markets that could have been asked for, as typed."""
    words = ["recorder", "markets", config.source]
    for key, value in config.options.items():
        words += ["-O", f"{key}={value}"]
    if config.rest_url is not None:
        words += ["--rest-url", without_secrets(config.rest_url)]
    return shlex.join(words)


def report_all(outcomes: Sequence[Outcome]) -> int:
    """Say what went wrong with which feed; return the exit code.

    Returns:
        What all feeds would have ended with by themselves, if that is the
        same for all. Wrong usage if nothing else went wrong than that keys
        were not accepted; else that something failed.
    """
    codes = [_report_one(outcome) for outcome in outcomes]
    failed = [o for o, code in zip(outcomes, codes, strict=True) if code]
    if failed and all(o.result and o.result.keys_refused for o in failed):
        return EXIT_USAGE
    return codes[0] if len(set(codes)) == 1 else EXIT_FAILED


def _report_one(outcome: Outcome) -> int:
    if outcome.error is None:
        return report(outcome.result, outcome.name)
    logs.complain(f"{outcome.name}: {outcome.error}")
    return exit_code(outcome.error)
