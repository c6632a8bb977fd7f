"""What is done about streams that are silent: told, and asked for anew.

`recorder.capture.silence` judges. Here its findings become rows of the
ledger and requests in the outbox of the connection that carries the chain.
"""

from collections.abc import Callable, Collection, Iterable, Sequence

from recorder.capture.books import Books
from recorder.capture.link import Link
from recorder.capture.silence import Silence
from recorder.model import NO_MARKET, Chain, LedgerRow
from recorder.source import Source, table_of
from recorder.store.ledger import Ledger
from recorder.telemetry import StreamProbed, StreamRestarted, emit


class Restarts:
    """Asks anew for what is silent, and tells the ledger.

    Args:
        silence: Finds it.
        ledger: Told of what is missing.
        books: The depth chains.
        note: Takes ledger rows to store.
    """

    def __init__(
        self,
        silence: Silence,
        ledger: Ledger,
        books: Books,
        note: Callable[[list[LedgerRow]], None],
    ) -> None:
        self._silence = silence
        self._ledger = ledger
        self._books = books
        self._note = note

    def mind(self, now: int, links: Iterable[Link]) -> None:
        """Do what is due; call it about once a second.

        Args:
            now: Our clock, nanoseconds.
            links: The connections that are open.
        """
        self.judge(now)
        silence = self._silence
        for chain in self._books.doubted:
            silence.lost(chain)
        self._books.doubted.clear()
        for chain, at in silence.take_recovered():
            self._note(self._ledger.covered(chain, at))
            if chain in self._books:
                self._books.accepted(chain, at, None)
        restarts = set(silence.take_restarts(now))
        probes = set(silence.take_probes(now))
        for link in links:
            if mine := _carried(link, restarts):
                link.probed.difference_update(mine)
                link.outbox.extend(link.dialogue.resubscribe(mine, now))
                for chain in mine:
                    emit(StreamRestarted(market=chain.market, stream=chain.stream))
            if mine := _carried(link, probes):
                link.probed.update(mine)
                link.outbox.extend(link.dialogue.ask_again(mine, now))
                emit(StreamProbed(chains=len(mine)))

    def judge(self, now: int) -> None:
        """Tell the ledger of every silence found by now."""
        for silent in self._silence.take_silent(now):
            self._lost(silent.chain, silent.since, silent.why)
        for was in self._silence.take_was_silent(now):
            # What was missed since has been told, and stays so.
            again = max(was.until, self._ledger.covered_since(was.chain) or 0)
            self._note(
                self._ledger.lost(was.chain, "stale_stream", was.since, detail=was.why)
            )
            # Rows that go on without a break tell nothing of those before.
            self._ledger.unhealable(was.chain)
            self._note(self._ledger.covered(was.chain, again))

    def probe_refused(self, link: Link, chain: Chain, at: int, reason: str) -> bool:
        """Take a refusal; return whether it was the answer to a probe.

        The venue may mean that it has the subscription already, or that it
        will not serve it: started afresh, the chain is accepted or refused.
        """
        if chain not in link.probed:
            return False
        link.probed.discard(chain)
        if self._ledger.is_covered(chain) and chain not in link.idle:
            self._silence.stop(chain, at)
            self._lost(chain, at, f"asked for again, the venue said: {reason}")
        return True

    def _lost(self, chain: Chain, since: int, why: str) -> None:
        after = self._books.lost(chain) if chain in self._books else None
        self._note(
            self._ledger.lost(
                chain, "stale_stream", since, detail=why, after_update_id=after
            )
        )


def _carried(link: Link, chains: Collection[Chain]) -> list[Chain]:
    if not chains:
        return []
    return link.in_charge([chain for chain in link.chains if chain in chains])


def silence_of(source: Source, chains: Sequence[Chain]) -> Silence:
    """Return what watches the chains of a feed.

    Args:
        source: The feed.
        chains: What is recorded.
    """
    probed = [chain for chain in chains if _can_be_probed(source, chain)]
    bookless = [chain for chain in probed if source.book_rule(chain.stream) is None]
    return Silence(source.witnesses, chains, probed, bookless)


def _can_be_probed(source: Source, chain: Chain) -> bool:
    """Whether a chain may be asked for once more when nothing ever came.

    Not a book whose image comes on the socket, for it is asked for afresh if that
    does not come; nor what a venue says of itself, for it but repeats its last
    word; nor what comes in bursts, of which one may well begin just then.
    """
    if not source.is_asked or chain.market == NO_MARKET:
        return False
    table = table_of(chain.stream)
    if any(kind.name == table and kind.has_bursts for kind in source.streams):
        return False
    rule = source.book_rule(chain.stream)
    return rule is None or rule.snapshot != "in_band"
