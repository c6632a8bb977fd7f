"""Rows that were received and could not be stored: what the ledger says of them."""

from collections.abc import Iterable

from recorder.capture.books import Books
from recorder.capture.intake import Intake
from recorder.capture.rows import Rows
from recorder.model import Chain
from recorder.store.batch import RowFault
from recorder.store.ledger import Ledger


def tell_spoiled(
    faults: Iterable[RowFault],
    books: Books,
    intake: Intake,
    ledger: Ledger,
    rows: Rows,
) -> None:
    """Note rows that could not be stored; their frames are kept.

    Args:
        faults: What the writer says of them.
        books: Lose the book of a depth row.
        intake: Knows whose a row may have been.
        ledger: Told of each.
        rows: Takes rows of the ledger.
    """
    for fault in faults:
        rows.tell_kept(fault.ts_recv, fault.conn, fault.seq, "undecodable", fault.error)
        chain = Chain(fault.market or "", fault.stream or "")
        if chain in books:
            books.spoiled(chain, fault.ts_recv, fault.error, fault.ids)
            continue
        # Which of several klines it was, the fault does not say.
        for plain in intake.plain_chains(chain.market, fault.table):
            at, why = fault.ts_recv, fault.error
            rows.note(ledger.missed(plain, "undecodable", at, at + 1, detail=why))
