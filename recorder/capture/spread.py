"""Which chains share a connection, and whether a venue allows so many."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from recorder.capture.rest import host_of
from recorder.counts import counted
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


def _need(chains: Sequence[Chain], wanted: int) -> str:
    streams = counted(len(chains), "stream of markets needs", "streams of markets need")
    return f"{streams} {counted(wanted, 'connection')}"


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
            f"{_need(chains, wanted)} to "
            f"{source.name}, and its venue allows {source.connections_max:,} from one "
            "address; choose fewer markets or streams"
        )


class Connections:
    """The connections that several feeds want of each venue, counted together."""

    def __init__(self) -> None:
        self._wanted: Counter[tuple[str, str]] = Counter()

    def add(self, source: Source, url: str, chains: Sequence[Chain]) -> int:
        """Count what a feed wants.

        Args:
            source: The feed.
            url: Where it connects to: what a venue allows, it allows each host.
            chains: What is to be recorded.

        Returns:
            How many connections that are.

        Raises:
            ConfigError: If the venue does not allow so many in all; then they
                are not counted.
        """
        wanted = len(spread(source, chains))
        before = self._wanted[source.name, host_of(url)]
        if source.connections_max is not None and (
            before + wanted > source.connections_max
        ):
            raise ConfigError(
                f"{_need(chains, wanted)} to "
                f"{source.name}, other feeds have {before:,}, and its venue allows "
                f"{source.connections_max:,} from one address; choose fewer markets "
                "or streams"
            )
        self._wanted[source.name, host_of(url)] += wanted
        return wanted

    @contextmanager
    def held(self, source: Source, url: str, chains: Sequence[Chain]) -> Iterator[None]:
        """Count what a feed wants for as long as it has it; as `add`."""
        wanted = self.add(source, url, chains)
        try:
            yield
        finally:
            self._wanted[source.name, host_of(url)] -= wanted


def _cut(group: tuple[Chain, ...], most: int) -> list[tuple[Chain, ...]]:
    """Return a group in as few parts as possible, each about as large."""
    parts = -(-len(group) // most)
    ends = [len(group) * number // parts for number in range(parts + 1)]
    return [group[start:end] for start, end in pairwise(ends)]
