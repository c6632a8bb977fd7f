"""What a venue's feed must supply, as data and pure functions.

A feed is one module in `recorder/sources` that defines ``SOURCE``, a value
of the class `Source` below. Generic code reads it and never names a venue.

A feed talks through a `Dialogue`: one object for each connection, told what
was received, asked what to send. It opens no socket, awaits nothing and asks
no clock; times are handed to it.

What a feed owes
----------------

* Every frame becomes events, replies, or an error: `WireError` if it does
  not fit its shape, an `Unrecognized` if it is of a kind not known.
* Numbers stay text, times become nanoseconds with every digit that was sent.
* Every chain that was asked for is answered for: `Subscribed` or `Refused`.
* One refused market does not take others with it.
"""

from recorder.source.contract import (
    BookRule,
    MarketList,
    Option,
    SnapshotRule,
    Source,
    StreamKind,
)
from recorder.source.dialogue import (
    Dialogue,
    Heartbeat,
    Leaving,
    Quit,
    Refused,
    Reply,
    Request,
    Said,
    Send,
    Subscribed,
    Unrecognized,
)
from recorder.source.history import History, PastEvent, Question, Wanted
from recorder.source.http import HttpRequest
from recorder.source.names import (
    canonical_stream,
    resolve_options,
    table_of,
)
from recorder.source.numbers import (
    decimal_ns,
)
from recorder.source.plain import OPTIONAL, PARTS, PlainDepth
from recorder.source.queries import Denied, Parameter, Query, Told, Value
from recorder.source.reactions import (
    Backoff,
    Ending,
    Verdict,
    told_of_maintenance,
)
from recorder.source.secrets import NO_SECRETS, Secret, Secrets
from recorder.source.witness import (
    Witness,
)


__all__ = [
    "NO_SECRETS",
    "OPTIONAL",
    "PARTS",
    "Backoff",
    "BookRule",
    "Denied",
    "Dialogue",
    "Ending",
    "Heartbeat",
    "History",
    "HttpRequest",
    "Leaving",
    "MarketList",
    "Option",
    "Parameter",
    "PastEvent",
    "PlainDepth",
    "Query",
    "Question",
    "Quit",
    "Refused",
    "Reply",
    "Request",
    "Said",
    "Secret",
    "Secrets",
    "Send",
    "SnapshotRule",
    "Source",
    "StreamKind",
    "Subscribed",
    "Told",
    "Unrecognized",
    "Value",
    "Verdict",
    "Wanted",
    "Witness",
    "canonical_stream",
    "decimal_ns",
    "resolve_options",
    "table_of",
    "told_of_maintenance",
]
