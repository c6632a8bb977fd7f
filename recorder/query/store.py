"""A store, opened for reading: SQL, replay, books, and what is in it.

Every call looks at the store afresh, so what a running capture received a
second or two ago is in the answer. What one call answers does not change
when files are added meanwhile.
"""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, wait as wait_for
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import duckdb
import pyarrow as pa

from recorder.errors import ConfigError, CorruptSegmentError, QueryError
from recorder.model import Gap, Row
from recorder.query.coverage import CoverageReport
from recorder.query.coverage_read import MENTIONED, Part, read_coverage
from recorder.query.gaps import gaps_at
from recorder.query.info import StoreInfo, read_info
from recorder.query.views import create_views
from recorder.store.listing import Listing, open_listing
from recorder.times import Time, to_ns


if TYPE_CHECKING:
    from recorder.replay import BookView

T = TypeVar("T")

SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    # A question never reaches for the internet.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # A name that is no table is never taken for a variable of this program.
    "python_enable_replacements": False,
}
"""How DuckDB is set up; everything else is as it comes."""

PARTITION_KEYS: Final = ("source=", "date=")

HEAR_SECONDS: Final = 0.2
"""How long Ctrl-C may go unheard while DuckDB works."""

AGAIN_SECONDS: Final = 0.05
"""Between two interrupts of a query that goes on."""


# DuckDB 1.4 closes a connection that nobody holds, although one of its relations
# is in use. Delete this when 1.4 is no longer supported.
_CONNECTIONS: WeakKeyDictionary[duckdb.DuckDBPyRelation, duckdb.DuckDBPyConnection] = (
    WeakKeyDictionary()
)


class Rows(NamedTuple):
    """The answer to a question, piece by piece.

    Attributes:
        schema: Its columns.
        batches: Its rows; asking for more may raise `QueryError`.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


class Store:
    """A store of market data, opened for reading.

    Nothing is held open between calls. All methods may be called from
    several threads at once; what they return belongs to the thread that
    asked.

    Times are given as ISO-8601 text, as integer nanoseconds since 1970 UTC,
    or as ``datetime``, pandas ``Timestamp`` or numpy ``datetime64``, all
    UTC unless they say otherwise. Ranges are half-open.

    Attributes:
        path: The store's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        partition = next(
            (part for part in self.path.parts if part.startswith(PARTITION_KEYS)), None
        )
        if partition is not None:
            # DuckDB takes source and date from the first such folder it meets.
            raise ConfigError(
                f"{self.path} lies in a partition ({partition}): give the "
                "store's own folder, or move the store"
            )
        self._listing()

    def __repr__(self) -> str:
        return f"open_store({str(self.path)!r})"

    def sql(self, text: str) -> duckdb.DuckDBPyRelation:
        """Return the answer to a question in DuckDB's SQL.

        The tables of the store are views of the same names, together with
        ``gaps_log``, ``depth_levels`` and ``outages``; each has ``source`` and
        ``date`` as its last columns. ``coverage`` has the intervals that
        running captures have not closed yet, too.

        A view has its rows if the text has its name, anywhere. To read one
        whose name the text puts together is an error.

        Each call is a session of its own, over the store as it is now: the
        relation stays valid and its answer the same while rows are added. It
        cannot be joined with the relation of another call, and what the text
        creates is gone with it. DuckDB starts working when rows are fetched,
        and may raise its own errors then.

        Args:
            text: One query, perhaps after other statements; times in it are
                UTC.

        Raises:
            QueryError: If DuckDB does not accept the text, or nothing in it
                has an answer.
            StoreError: If the store's files cannot be read.
        """
        return self._ask(text)[0]

    def stream(self, text: str) -> Rows:
        """Return the answer to a question as Arrow record batches.

        Args:
            text: As for `sql`.

        Returns:
            Rows that are worked out while they are taken; no error but
            `QueryError` comes out of taking them.

        Raises:
            QueryError: As for `sql`, or if the query fails at once.
            StoreError: If the store's files cannot be read.
        """
        relation, worker = self._ask(text)
        reader = worker.run(lambda: pa.RecordBatchReader.from_stream(relation))
        return Rows(reader.schema, _batches(relation, worker, reader))

    def replay(
        self,
        source: str | None = None,
        markets: Collection[str] | None = None,
        streams: Collection[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> Iterator[Row]:
        """Return events of all streams and markets in one order of time.

        Args:
            source: Only this feed's; None means every feed.
            markets: Only these markets; None means all.
            streams: Only these streams, ``depth:100ms``, ``trades``; None
                means all.
            start: First instant, by our clock.
            end: First instant after.

        Returns:
            Events in the order of ``(ts_recv, source, conn, seq, idx)``,
            gaps among them.

        Raises:
            ConfigError: If a source, market or stream was never recorded.
            StoreError: If the store's files cannot be read.
        """
        from recorder.replay import replay  # numba takes half a second to import

        return replay(
            self._listing(),
            source=source,
            markets=markets,
            streams=streams,
            start_ns=_ns(start),
            end_ns=_ns(end),
        )

    def bbo(
        self,
        source: str,
        market: str,
        stream: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> pa.Table:
        """Return the best bid and offer after every depth message.

        Args:
            source: Name of the feed.
            market: The venue's spelling.
            stream: The depth stream; may be left out if only one was
                recorded.
            start: First instant, by our clock.
            end: First instant after.

        Returns:
            One row for each depth message: ``ts_recv``, ``ts_event``,
            ``bid_price``, ``bid_amount``, ``ask_price``, ``ask_amount``,
            ``known``; prices are null while the book is not known.

        Raises:
            ConfigError: If there is no such book, or several streams.
            StoreError: If the store's files cannot be read.
        """
        from recorder.replay import bbo  # numba takes half a second to import

        return bbo(
            self._listing(),
            source=source,
            market=market,
            stream=stream,
            start_ns=_ns(start),
            end_ns=_ns(end),
        )

    def book_at(
        self,
        source: str,
        market: str,
        stream: str | None = None,
        at: Time | None = None,
        levels: int = 10,
    ) -> "BookView":
        """Return the order book as it was at an instant, if it is known.

        Args:
            source: Name of the feed.
            market: The venue's spelling.
            stream: The depth stream; may be left out if only one was
                recorded.
            at: The instant, by our clock; None means the last message.
            levels: How many levels a side to return at most.

        Raises:
            ConfigError: If there is no such book, or several streams.
            StoreError: If the store's files cannot be read.
        """
        from recorder.replay import book_at  # numba takes half a second to import

        return book_at(
            self._listing(),
            source=source,
            market=market,
            stream=stream,
            at_ns=_ns(at),
            levels=levels,
        )

    def gaps_at(
        self, source: str, market: str | None, stream: str, at: Time
    ) -> tuple[Gap, ...]:
        """Return the gaps that an instant lies in, oldest first.

        Args:
            source: Name of the feed.
            market: The venue's spelling; None for a stream without markets.
            stream: Canonical stream name.
            at: The instant, by our clock.

        Raises:
            StoreError: If the store's files cannot be read.
        """
        return gaps_at(self._listing(), source, market, stream, to_ns(at))

    def coverage(
        self,
        source: str | None = None,
        market: str | None = None,
        stream: str | None = None,
        job: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        *,
        with_gaps: bool = True,
    ) -> CoverageReport:
        """Return what was recorded of each chain, when, and what is missing.

        Gaps that last, and the last instants of all, reach to the last instant of
        which the store knows anything: to ask later changes nothing.

        Args:
            source: Only this feed's; None means every feed.
            market: Only this market.
            stream: Only this stream, in its canonical form.
            job: Only what this job recorded.
            start: First instant, by our clock.
            end: First instant after.
            with_gaps: Whether to return each gap, too; a large store has millions.

        Raises:
            StoreError: If the store's files cannot be read.
        """
        connection = self._session(MENTIONED)
        worker = _Worker(connection)

        def ask(sql: str) -> pa.Table:
            answer = worker.run(lambda: connection.sql(sql))
            if answer is None:
                return pa.table({})
            reader = worker.run(lambda: pa.RecordBatchReader.from_stream(answer))
            return worker.run(reader.read_all)

        part = Part(source, market, stream, job, _ns(start), _ns(end))
        return read_coverage(self.path, ask, part, with_gaps=with_gaps)

    def info(self) -> StoreInfo:
        """Return what is in the store, without reading the data itself.

        Raises:
            StoreError: If the store's files cannot be read.
        """
        return read_info(self.path, self._listing(), self.stream)

    def _listing(self) -> Listing:
        return open_listing(self.path)

    def _ask(self, text: str) -> tuple[duckdb.DuckDBPyRelation, "_Worker"]:
        connection = self._session(text)
        worker = _Worker(connection)
        relation = worker.run(lambda: connection.sql(text))
        if relation is None:
            raise QueryError("the SQL asks for nothing; it should end in a SELECT")
        _CONNECTIONS[relation] = connection
        return relation, worker

    def _session(self, question: str) -> duckdb.DuckDBPyConnection:
        listing = self._listing()
        connection = duckdb.connect(":memory:", config=SETTINGS)
        # All times of a store are UTC, so what SQL calls now must be, too.
        connection.execute("SET TimeZone = 'UTC'")
        try:
            create_views(connection, listing, question)
        except duckdb.Error as error:
            raise CorruptSegmentError(
                f"a file of the store cannot be read: {error}"
            ) from error
        return connection


def open_store(path: str | Path) -> Store:
    """Open a store for reading.

    Args:
        path: The store's folder.

    Raises:
        ConfigError: If there is no such folder, or it is none of a store.
    """
    return Store(Path(path))


def _ns(time: Time | None) -> int | None:
    return None if time is None else to_ns(time)


_FOR_GOOD: Final = {"cancel_futures": True}


def wait(ending: Thread) -> None:
    """Wait a moment for the end of a thread."""
    ending.join(AGAIN_SECONDS)


class _Worker:
    """Lets DuckDB work in a thread, so that Ctrl-C is heard and ends the work."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._thread = ThreadPoolExecutor(1, "query")
        # Have the thread begin here: interrupted while it does, the pool would
        # not know of it.
        self._thread.submit(int).result()

    def run(self, work: Callable[[], T]) -> T:
        """Return what some work returns.

        Raises:
            QueryError: If DuckDB fails.
        """
        try:
            future = self._thread.submit(work)
            # The signal may reach another thread. Who waits without an end for
            # a lock never hears of it then.
            while not future.done():
                wait_for([future], HEAR_SECONDS)
            return future.result()
        except KeyboardInterrupt:
            # It may come at any point of the lines above, so what is waited for
            # is the end of the thread. A query that is only about to begin does
            # not hear of it: it is told again.
            ending = Thread(target=self._thread.shutdown, kwargs=_FOR_GOOD)
            ending.start()
            while ending.is_alive():
                self._connection.interrupt()
                wait(ending)
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            raise QueryError(str(error).strip()) from error


def _batches(
    relation: duckdb.DuckDBPyRelation, worker: _Worker, reader: pa.RecordBatchReader
) -> Iterator[pa.RecordBatch]:
    # The relation is an argument only to be kept alive while it is read.
    while (batch := worker.run(lambda: next(reader, None))) is not None:
        yield batch
