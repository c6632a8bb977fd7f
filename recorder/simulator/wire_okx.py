"""How OKX v5 says things on its public WebSocket.

Pure: values in, frames out. Data and answers are compact JSON, only the
upgrade notice comes pretty-printed, as it was seen in the wild.
"""

import msgspec

from recorder.simulator.maintenance import Maintenance
from recorder.simulator.numbers import MS_NS
from recorder.simulator.status_faults import OKX_ERRORS
from recorder.simulator.truth import Facts


UPGRADE = 64008
UPGRADE_WORDS = (
    "The connection will soon be closed for a service upgrade. Please reconnect."
)
INVALID_REQUEST, INVALID_ARGS, TOO_FREQUENT = 60012, 60013, 60014
UNKNOWN_CHANNEL, INVALID_OP, WRONG_URL = 60018, 60019, 60028
NO_DATA = 4004
"""Close code of a connection on which nothing went."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends."""

    op: str
    args: object = None
    id: str | None = None


class Arg(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that a client names."""

    channel: str


class _Anything(msgspec.Struct):
    id: str | None = None


def decode_request(text: str) -> Request | str | None:
    """Return a client's request.

    Returns:
        The request; if it is none, the ``id`` that it carries all the same,
        or None.
    """
    try:
        request = msgspec.json.decode(text, type=Request)
    except msgspec.DecodeError:
        return _id_of(text)
    if request.id is None or (request.id.isalnum() and len(request.id) <= 32):
        return request
    return None


def decode_args(args: object) -> tuple[Arg, ...] | None:
    """Return the channels that a request names; None if it names none."""
    try:
        return msgspec.convert(args, tuple[Arg, ...]) or None
    except msgspec.ValidationError:
        return None


def ack(request: Request, arg: Arg, conn_id: str) -> bytes:
    """Return the answer to one channel of a request."""
    return _frame(
        request.id,
        {"event": request.op, "arg": {"channel": arg.channel}, "connId": conn_id},
    )


def failure(
    request_id: str | None, code: int, conn_id: str, words: str | None = None
) -> bytes:
    """Return an error; codes are texts on the wire."""
    said = OKX_ERRORS[code] if words is None else words
    return _frame(
        request_id,
        {"event": "error", "code": str(code), "msg": said, "connId": conn_id},
    )


def invalid_request(request_id: str | None, text: str, conn_id: str) -> bytes:
    """Return the error that echoes a request, escaped within a text."""
    words = f"Invalid request: {text}"
    return failure(request_id, INVALID_REQUEST, conn_id, words)


def unknown_channel(request: Request, arg: Arg, conn_id: str) -> bytes:
    """Return the error for a channel that is not served."""
    words = (
        f"Wrong URL or channel:{arg.channel} doesn't exist. Please use the correct "
        "URL, channel and parameters referring to API document."
    )
    return failure(request.id, UNKNOWN_CHANNEL, conn_id, words)


def connection_count(count: int, conn_id: str) -> bytes:
    """Return the event that tells how many connections read the channel."""
    return msgspec.json.encode(
        {
            "event": "channel-conn-count",
            "channel": "status",
            "connCount": str(count),
            "connId": conn_id,
        }
    )


def upgrade(conn_id: str) -> bytes:
    """Return the notice that the connection will soon be closed."""
    notice = {
        "event": "notice",
        "msg": UPGRADE_WORDS,
        "code": str(UPGRADE),
        "connId": conn_id,
    }
    return msgspec.json.format(msgspec.json.encode(notice), indent=2)


def status_object(change: Maintenance) -> bytes:
    """Return a change as the object that is pushed: every value is a text."""
    before = change.pre_open_begin
    return msgspec.json.encode(
        {
            "begin": str(change.begin),
            "end": str(change.end),
            "href": change.href,
            "preOpenBegin": "" if before is None else str(before),
            "scheDesc": change.sche_desc,
            "serviceType": change.service_type,
            "state": change.state,
            "system": change.system,
            "maintType": change.maint_type,
            "env": change.env,
            "title": change.title,
            "ts": str(change.ts),
        }
    )


def status(changes: tuple[Maintenance, ...]) -> bytes:
    """Return the push of some changes."""
    data = b",".join(status_object(change) for change in changes)
    return b'{"arg":{"channel":"status"},"data":[' + data + b"]}"


def facts(change: Maintenance) -> Facts:
    """Return what the row of a change says, for the truth."""
    return {
        "kind": "maintenance",
        "state": change.state,
        "title": change.title,
        "url": change.href or None,
        "publisher": None,
        "starts_at": change.begin * MS_NS,
        "ends_at": change.end * MS_NS,
        "ts_event": change.ts * MS_NS,
        "payload": status_object(change).decode(),
    }


def _frame(request_id: str | None, rest: dict[str, object]) -> bytes:
    named = {} if request_id is None else {"id": request_id}
    return msgspec.json.encode({**named, **rest})


def _id_of(text: str) -> str | None:
    try:
        return msgspec.json.decode(text, type=_Anything).id
    except msgspec.DecodeError:
        return None
