"""Is more sent to us than we can read?

A process that is too slow leaves what comes in the socket, where nobody sees
it: the venue's view of us grows old, and it may cut us off. How much lies
there is asked of the system. A burst is gone in a moment; what stays for
seconds at every look is more than we can read.
"""

import fcntl
import struct
import termios
from collections.abc import Iterable
from typing import Final

import aiohttp

from recorder.capture.link import Link


UNREAD_BYTES: Final = 64 << 10
"""So much may lie in a socket at any moment: what came while others were read."""

BEHIND_NS: Final = 10_000_000_000
"""So long may more than that lie there at every look: when thousands of books
begin, their images take a while."""


def unread_bytes(socket: aiohttp.ClientWebSocketResponse[bool]) -> int:
    """Return how much has come over a connection and was not read yet, bytes.

    Returns:
        0 also of a connection that is closed.
    """
    raw = socket.get_extra_info("socket")
    if raw is None or raw.fileno() < 0:
        return 0
    answer = fcntl.ioctl(raw.fileno(), termios.FIONREAD, bytes(4))
    (count,) = struct.unpack("i", answer)
    return int(count)


def look(link: Link, unread: int, now: int) -> None:
    """Note how much lies unread in a connection's socket.

    Args:
        link: The connection.
        unread: That many bytes.
        now: Our clock, nanoseconds.
    """
    if unread < UNREAD_BYTES:
        link.behind_since = None
    elif link.behind_since is None:
        link.behind_since = now


def is_behind(links: Iterable[Link], now: int, *, was_behind: bool) -> bool:
    """Return whether we are too slow to read what comes.

    Args:
        links: The connections.
        now: Our clock, nanoseconds.
        was_behind: Whether we were at the last look: then it is over when
            nothing lies in any socket.
    """
    least = 0 if was_behind else BEHIND_NS
    since = (link.behind_since for link in links)
    return any(at is not None and now - at >= least for at in since)
