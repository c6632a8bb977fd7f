"""Which chains share a connection, and whether a venue allows so many."""

from collections.abc import Sequence
from itertools import pairwise

from recorder.errors import ConfigError
from recorder.model import Chain
from recorder.source import Source


def spread(source: Source, chains: Sequence[Chain]) -> list[tuple[Chain, ...]]:
    """Return the chains of each connection.

    What the feed would put on one connection is cut evenly where it is more
    than the venue, or the feed, wants there.

    Args:
        source: The feed.
        chains: What is to be recorded.
    """
    most = source.chains_per_connection
    return [
        part for group in source.plan(chains) if group for part in _cut(group, most)
    ]


def check_connections(source: Source, chains: Sequence[Chain]) -> None:
    """Check that a venue allows the connections that some chains need.

    Raises:
        ConfigError: If it does not.
    """
    if source.connections_max is None:
        return
    wanted = len(spread(source, chains))
    if wanted > source.connections_max:
        raise ConfigError(
            f"{len(chains):,} streams of markets need {wanted:,} connections to "
            f"{source.name}, and its venue allows {source.connections_max:,} from one "
            "address; choose fewer markets or streams"
        )


def _cut(group: tuple[Chain, ...], most: int) -> list[tuple[Chain, ...]]:
    """Return a group in as few parts as possible, each about as large."""
    parts = -(-len(group) // most)
    ends = [len(group) * number // parts for number in range(parts + 1)]
    return [group[start:end] for start, end in pairwise(ends)]
