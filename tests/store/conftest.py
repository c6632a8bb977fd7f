"""Rows to store, and a store to put them in."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recorder.model import DepthUpdate, Trade
from recorder.store.batch import RowTuple
from recorder.store.run import Run, open_run


START_NS = 1_700_000_000_000_000_000  # 2023-11-14T22:13:20Z


@pytest.fixture
def start_ns() -> int:
    """An instant on 2023-11-14."""
    return START_NS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store is to be; it does not exist yet."""
    return tmp_path / "store"


@pytest.fixture
def run(root: Path) -> Iterator[Run]:
    """A living run of a store."""
    run = open_run(root, job="job", source="gate_spot", now_ns=START_NS)
    yield run
    run.abandon()


@pytest.fixture
def trade() -> Callable[..., RowTuple]:
    """Make a row of ``trades``."""

    def make(
        number: int,
        market: str = "BTC_USDT",
        *,
        at: int = START_NS,
        conn: str = "20231114T221320-abcdef.0",
        price: str = "37483.21",
        amount: str = "0.048",
        payload: bytes | None = b"{}",
    ) -> RowTuple:
        event = Trade(
            market=market,
            ts_event=at - 1_000_000,
            trade_id=number,
            side="buy",
            price=price,
            amount=amount,
        )
        return (at + number, conn, number, 0, event, payload)

    return make


@pytest.fixture
def depth() -> Callable[..., RowTuple]:
    """Make a row of ``depth``."""

    def make(
        number: int,
        market: str = "BTC_USDT",
        *,
        at: int = START_NS,
        bids: object = b'[["1.5","2"]]',
        asks: object = b"[]",
        payload: bytes | None = b"{}",
    ) -> RowTuple:
        event = DepthUpdate(
            market=market,
            stream="depth:100ms",
            ts_event=at - 1_000_000,
            is_snapshot=False,
            first_update_id=number,
            last_update_id=number,
            bids=bids,
            asks=asks,
            depth_limit=100,
        )
        return (at + number, "20231114T221320-abcdef.0", number, 0, event, payload)

    return make
