"""Recording from the bundled exchange, over real sockets."""

import socket
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from recorder.capture.plan import CaptureResult, plan_capture
from recorder.capture.run import Capture
from recorder.clock import Clock
from recorder.config import CaptureConfig
from recorder.errors import WireError
from recorder.model import (
    Bbo,
    Chain,
    ContractStats,
    DepthUpdate,
    Kline,
    StatusEvent,
    Ticker,
    Trade,
)
from recorder.simulator.server import Exchange
from recorder.source import (
    NO_SECRETS,
    BookRule,
    Heartbeat,
    HttpRequest,
    Leaving,
    Option,
    Quit,
    Refused,
    Request,
    Send,
    SnapshotRule,
    Source,
    StreamKind,
    Subscribed,
    Unrecognized,
    Verdict,
)


MARKETS = ("BTC_USDT", "ETH_USDT", "GT_USDT")


class Recorder:
    """Makes captures into one store."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def capture(
        self,
        exchange: Exchange,
        source: str,
        *,
        clock: Clock | None = None,
        **changes: object,
    ) -> Capture:
        """Prepare a capture of a source of the exchange."""
        is_v3 = source.endswith("v3")
        config = {
            "source": source,
            "markets": MARKETS,
            "streams": ("trades", "depth"),
            "store": self.root,
            "ws_url": exchange.ws_url_v3 if is_v3 else exchange.ws_url_spot,
            "rest_url": exchange.rest_url,
            "flush_seconds": 0.1,
            **changes,
        }
        return Capture(plan_capture(CaptureConfig(**config)), clock=clock)

    async def run(
        self, exchange: Exchange, source: str, seconds: float, **changes: object
    ) -> CaptureResult:
        """Record for so long; return how it went."""
        capture = self.capture(exchange, source, stop_after_seconds=seconds, **changes)
        return await capture.run()


@pytest.fixture
def recorder_of(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "store")


class FakeClock:
    """A clock that stands still but for a nanosecond at each reading."""

    def __init__(self, now: int) -> None:
        self.now = now

    def now_ns(self) -> int:
        self.now += 1
        return self.now


class FakeDialogue:
    """Asks with one frame for each chain; a frame of answers is a JSON list.

    Each item is a list: a kind, then what `_ITEMS` below wants to know.
    """

    def __init__(self, chains, options, secrets=NO_SECRETS) -> None:
        self.chains = tuple(chains)
        self.options = options
        self.secrets = secrets
        self.later = []

    def due(self, now_ns):
        due = [text for at, text in self.later if at <= now_ns]
        self.later = [(at, text) for at, text in self.later if at > now_ns]
        return [Request(payload=text.encode()) for text in due]

    def open(self, now_ns):
        return [self._ask("sub", chain) for chain in self.chains]

    def resubscribe(self, chains, now_ns):
        return [self._ask("again", chain) for chain in chains]

    def ask_again(self, chains, now_ns):
        return [self._ask("once more", chain) for chain in chains]

    def ping(self, now_ns):
        return b'{"ping":1}'

    def receive(self, payload, now_ns):
        try:
            items = msgspec.json.decode(payload, type=list[list])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WireError(f"not a list: {error}") from error
        return [_ITEMS[kind](*rest) for kind, *rest in items]

    def unknown_keys(self, payload):
        if b"spoiled" in payload:
            raise WireError("half of it is no JSON")
        return ["new.key"] if b"novel" in payload else []

    def _ask(self, what, chain):
        payload = msgspec.json.encode({what: chain})
        return Request(payload=payload, chains=(chain,))


def _trade(market, trade_id, price="1", number=None, origin="live"):
    return Trade(
        market=market,
        ts_event=None,
        trade_id=trade_id,
        side="buy",
        price=price,
        amount="1",
        market_trade_id=number,
        origin=origin,
    )


def _depth(market, first, last, bids=(), asks=(), stream="depth:10", *, is_whole=False):
    return DepthUpdate(
        market=market,
        stream=stream,
        ts_event=None,
        is_snapshot=is_whole or first is None,
        first_update_id=first,
        last_update_id=last,
        bids=msgspec.json.encode(bids),
        asks=msgspec.json.encode(asks),
    )


def _bare(market, *, is_clean):
    """A depth message of the stream without ids."""
    return DepthUpdate(
        market=market,
        stream="depth:bare",
        ts_event=None,
        is_snapshot=is_clean,
        first_update_id=None,
        last_update_id=None,
        bids=b"[]",
        asks=b"[]",
    )


def _kline(market, interval, close):
    return Kline(
        market=market,
        ts_event=None,
        interval=interval,
        open_at=60,
        open="1",
        high="9",
        low="1",
        close=close,
    )


_ITEMS = {
    "trade": _trade,
    "depth": _depth,
    "image": lambda market: _bare(market, is_clean=True),
    "change": lambda market: _bare(market, is_clean=False),
    "kline": _kline,
    "window": lambda market, last, bids: _depth(
        market, last, last, bids, is_whole=True
    ),
    "ticker": lambda market, last: Ticker(market=market, ts_event=None, last=last),
    "bbo": lambda market, bid, update_id=None: Bbo(
        market=market, ts_event=None, bid_price=bid, update_id=update_id
    ),
    "stats": lambda market, interval: ContractStats(
        market=market, ts_event=None, interval=interval
    ),
    "status": lambda text: StatusEvent(kind="notice", payload=text),
    "ok": lambda chains, ts_event=None: Subscribed(
        chains=tuple(Chain(*chain) for chain in chains), ts_event=ts_event
    ),
    "no": lambda chains, reason: Refused(
        chains=tuple(Chain(*chain) for chain in chains), reason=reason
    ),
    "send": lambda *texts: Send(
        requests=tuple(Request(payload=text.encode()) for text in texts)
    ),
    "beat": lambda ts_event=None: Heartbeat(ts_event=ts_event),
    "leaving": lambda reason: Leaving(reason=reason),
    "what": lambda error: Unrecognized(error=error),
    "quit": lambda action, why, wait=None: Quit(
        verdict=Verdict(action=action, why=why, wait_seconds=wait)
    ),
}


def _decode_snapshot(chain, body):
    try:
        base, bids, asks, *ts_event = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise WireError(f"no snapshot: {error}") from error
    return DepthUpdate(
        market=chain.market,
        stream=chain.stream,
        ts_event=ts_event[0] if ts_event else None,
        is_snapshot=True,
        first_update_id=None,
        last_update_id=base,
        bids=msgspec.json.encode(bids),
        asks=msgspec.json.encode(asks),
        origin="rest",
    )


_RULES = {
    "depth:10": BookRule(has_ids=True, snapshot="rest", depth_limit=10),
    "depth:bare": BookRule(has_ids=False, snapshot="in_band", depth_limit=10),
    "depth:full": BookRule(has_ids=True, snapshot="in_band", depth_limit=10),
    "depth:each": BookRule(has_ids=True, snapshot="each", depth_limit=10),
}

FAKE = Source(
    name="fake",
    doc="A venue of the tests.",
    ws_url="ws://127.0.0.1:9/",
    rest_url="http://127.0.0.1:9",
    streams=(
        StreamKind(name="trades", doc="Trades."),
        StreamKind(
            name="depth",
            doc="Books.",
            parameters=("10", "bare", "full", "each"),
            default="10",
        ),
        StreamKind(name="klines", doc="Klines.", parameters=("1m", "5m")),
        StreamKind(name="tickers", doc="Tickers."),
        StreamKind(name="bbo", doc="Best bid and offer."),
        StreamKind(name="contract_stats", doc="Statistics.", parameters=("1m", "1d")),
    ),
    options=(Option(name="taste", doc="Of it.", choices=("sweet", "sour")),),
    requests_per_second=1000.0,
    rest_per_second=1000.0,
    history_trades=100,
    plan=lambda chains: [tuple(chains)],
    dialogue=FakeDialogue,
    book_rule=_RULES.get,
    snapshot=SnapshotRule(
        request=lambda chain, options: HttpRequest(
            path="/book", query=(("m", chain.market),)
        ),
        decode=_decode_snapshot,
    ),
)
"""A venue of which generic code needs to know nothing."""


@pytest.fixture
def fake() -> Source:
    return FAKE


@pytest.fixture
def make_clock():
    return FakeClock


@pytest.fixture
async def serve():
    """Serve paths on a local port; returns ``127.0.0.1:<port>``."""
    runners = []

    async def serve(handlers, ssl_context=None) -> str:
        app = web.Application()
        for path, handler in handlers.items():
            app.router.add_get(path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context).start()
        return f"127.0.0.1:{runner.addresses[0][1]}"

    yield serve
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def unused_port() -> int:
    """A local port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
