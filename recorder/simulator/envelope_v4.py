"""What stands around everything that v4 says, on spot and on futures.

Pure: values in, frames out, in the formats of 2021 and of 2026.
"""

import random
from typing import ClassVar

import msgspec

from recorder.simulator.numbers import MS_NS, SECOND_NS
from recorder.simulator.settings import Settings


class Refusal(msgspec.Struct, frozen=True):
    """Why a request is refused.

    Attributes:
        code: 1 invalid body, 2 invalid argument, 3 server error.
        message: In the venue's words.
    """

    code: int
    message: str


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client sends."""

    channel: str
    event: str = ""
    payload: object = None
    id: int | None = None
    time: object = None


def decode_request(text: str) -> Request | Refusal | None:
    """Return a client's request.

    Returns:
        The request; a refusal if it is JSON of another shape; None if it
        is not JSON at all.
    """
    try:
        return msgspec.json.decode(text, type=Request)
    except msgspec.ValidationError:
        return Refusal(1, "invalid request body")
    except msgspec.DecodeError:
        return None


class EnvelopeV4:
    """Encodes answers, and pushes around what they say."""

    prefix: ClassVar[str]
    """What names of channels start with."""

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._is_2026 = settings.wire_era == "2026"
        self._null_keys = settings.null_keys
        self._omit_time = settings.omit_time
        self._zero_ack_time_ms = settings.zero_ack_time_ms
        self._rng = rng
        self._encoder = msgspec.json.Encoder()

    def answer(
        self, request: Request, refusal: Refusal | None, conn_id: str, now_ns: int
    ) -> bytes:
        """Return the answer to subscribe or unsubscribe."""
        frame: dict[str, object] = {"time": now_ns // SECOND_NS}
        status = "success" if refusal is None else "fail"
        if self._is_2026:
            trace = f"{self._rng.getrandbits(128):032x}"
            frame["time_ms"] = 0 if self._zero_ack_time_ms else now_ns // MS_NS
            if request.id is not None or self._null_keys:
                frame["id"] = request.id
            frame |= {"conn_id": conn_id, "trace_id": trace}
        elif self._null_keys:
            frame["id"] = None
        frame |= {"channel": request.channel, "event": request.event}
        if self._is_2026:
            frame["payload"] = request.payload
        if refusal is not None:
            frame["error"] = {"code": refusal.code, "message": refusal.message}
        elif self._null_keys:
            frame["error"] = None
        if refusal is None or self._is_2026:
            frame["result"] = {"status": status}
        else:
            frame["result"] = None
        if self._is_2026:
            frame["requestId"] = trace
        return self._encoder.encode(frame)

    def pong(self, request: Request, conn_id: str, now_ns: int) -> bytes:
        """Return the answer to a ping."""
        frame: dict[str, object] = {"time": now_ns // SECOND_NS}
        if self._is_2026:
            frame |= {"time_ms": now_ns // MS_NS, "conn_id": conn_id}
            if request.id is not None or self._null_keys:
                frame["id"] = request.id
        frame |= {"channel": f"{self.prefix}.pong", "event": ""}
        if not self._is_2026 or self._null_keys:
            frame["error"] = None
        frame["result"] = None
        if self._is_2026:
            frame["requestId"] = f"{self._rng.getrandbits(128):032x}"
        return self._encoder.encode(frame)

    def upgrade(self, now_ns: int) -> bytes:
        """Return the notice that the connection will soon be closed."""
        return self._push(
            f"{self.prefix}.system",
            {
                "type": "upgrade",
                "msg": "The connection will soon be closed for a service upgrade. "
                "Please reconnect.",
            },
            now_ns,
            timed=True,
        )

    def _push(
        self,
        channel: str,
        result: object,
        now_ns: int,
        *,
        event: str = "update",
        timed: bool = False,
    ) -> bytes:
        frame: dict[str, object] = {}
        if not self._omit_time or timed:
            frame["time"] = now_ns // SECOND_NS
        if self._is_2026 or timed:
            frame["time_ms"] = now_ns // MS_NS
        if self._null_keys:
            frame |= {"id": None, "error": None}
        frame |= {"channel": channel, "event": event, "result": result}
        return self._encoder.encode(frame)
