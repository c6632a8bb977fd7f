"""What is done about streams that are silent: told, and asked for anew.

`recorder.capture.silence` judges. Here its findings become rows of the
ledger and requests in the outbox of the connection that carries the chain.
"""

from collections.abc import Callable, Collection, Iterable

from recorder.capture.books import Books
from recorder.capture.link import Link
from recorder.capture.silence import Silence
from recorder.model import Chain, LedgerRow
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
