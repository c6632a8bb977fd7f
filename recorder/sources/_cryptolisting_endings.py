"""cryptolisting.ws: what is done when it refuses or ends a connection.

===============================  ============================================
answer or close                  what is done
===============================  ============================================
HTTP 400, 401, 403, 426          stop: only the operator can help
HTTP 429                         wait as long as its body or header says, 5 s
                                 for ``connection_cooldown``; else 1, 2, 4,
                                 ... 300 s
1000 key_expired, key_revoked,   stop
key_invalidated
1008 too_slow                    connect again at once
1008 rate_limit_exceeded         connect again after 60 s
1009 frame_too_large             connect again after the usual pause: nothing
                                 is sent that could have been too large, so
                                 there is nothing to mend here, and a proxy's
                                 mistake may pass
any other                        the general rule, with the pauses above
===============================  ============================================

"At once" may meet a ``connection_cooldown``, which is then waited for.

Source: protocol facts, section 5 (the service's documents of three dates).
"""

from typing import Final

import msgspec

from recorder.errors import WireError
from recorder.source import Backoff, Ending, Verdict
from recorder.sources._json import decoded


KEY_VARIABLE: Final = "CRYPTOLISTING_API_KEY"

WAIT_MAX_SECONDS: Final = 300.0
"""The longest documented pause. Who states a longer one is asked again then."""

BACKOFF: Final = Backoff(
    first_seconds=1.0, max_seconds=WAIT_MAX_SECONDS, is_drawn=False
)
"""The pauses that the service documents: to come sooner is what it refuses."""

COOLDOWN_SECONDS: Final = 5.0
RATE_LIMIT_SECONDS: Final = 60.0

_WORDS_MAX: Final = 100
_OBJECT: Final = msgspec.json.Decoder(dict[str, object])

_REFUSALS: Final = {
    400: "it calls the request malformed; see what lies between, such as a proxy",
    401: f"no key arrived; check {KEY_VARIABLE}, and what lies between",
    403: f"the key is not valid, revoked or expired; set {KEY_VARIABLE} to a good one",
    426: "it wants another kind of request; see what lies between, such as a proxy",
}
_ABOUT_KEYS: Final = (401, 403)
_THROTTLED: Final = 429
_KEY_ENDS: Final = {
    "key_expired": "the key has expired",
    "key_revoked": "the key was revoked",
    "key_invalidated": "the key is not valid any more",
}
_ENDS: Final = {
    "too_slow": Verdict(
        action="retry",
        why="cryptolisting.ws found us too slow (too_slow); what it sent meanwhile "
        "is missing",
        wait_seconds=0.0,
    ),
    "rate_limit_exceeded": Verdict(
        action="retry",
        why="cryptolisting.ws says that too much was sent to it (rate_limit_exceeded)",
        wait_seconds=RATE_LIMIT_SECONDS,
    ),
    "frame_too_large": Verdict(
        action="retry",
        why="cryptolisting.ws says that a frame was too large (frame_too_large), "
        "though none was sent",
    ),
}
_TOO_LARGE: Final = 1009


def verdict(ending: Ending) -> Verdict | None:
    """Return what is to be done about a refusal or an end."""
    if ending.status is not None:
        return _verdict_on_refusal(ending.status, ending)
    if ending.code is None:
        return None  # nobody said why
    for word, why in _KEY_ENDS.items():
        if word in ending.reason:
            advice = f"set {KEY_VARIABLE} to a good one"
            return Verdict(
                action="stop",
                why=f"cryptolisting.ws: {why} ({word}); {advice}",
                is_about_keys=True,
            )
    for word, told in _ENDS.items():
        if word in ending.reason:
            return told
    return _ENDS["frame_too_large"] if ending.code == _TOO_LARGE else None


def _verdict_on_refusal(status: int, ending: Ending) -> Verdict | None:
    body = _body(ending.reason)
    error = body.get("error")
    words = f": {error[:_WORDS_MAX]}" if isinstance(error, str) else ""
    shown = "".join(mark if mark.isprintable() else "?" for mark in words)
    told = f"cryptolisting.ws answered HTTP {status}{shown}"
    if status in _REFUSALS:
        return Verdict(
            action="stop",
            why=f"{told}; {_REFUSALS[status]}",
            is_about_keys=status in _ABOUT_KEYS,
        )
    if status != _THROTTLED:
        return None
    wait = _seconds(body.get("retry_after_s"))
    if wait is None:
        header = ending.headers.get("retry-after", "")
        is_number = header.isascii() and header.isdigit()
        wait = _seconds(float(header)) if is_number else None
    if wait is None and error == "connection_cooldown":
        wait = COOLDOWN_SECONDS
    return Verdict(action="retry", why=told, wait_seconds=wait)


def _body(text: str) -> dict[str, object]:
    """Return the body of a refusal; a proxy's page has nothing to say."""
    try:
        return decoded(_OBJECT, text.encode())
    except WireError:
        return {}


def _seconds(said: object) -> float | None:
    """Return a stated wait; None if it makes no sense."""
    if not isinstance(said, int | float) or isinstance(said, bool):
        return None
    return float(min(said, WAIT_MAX_SECONDS)) if said > 0 else None
