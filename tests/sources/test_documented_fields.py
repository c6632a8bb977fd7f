"""Where each documented field of each channel is stored: a reference, and its proof.

A line of a `Channel` is one field: what the venue calls it, an example, and the
column in which it is stored, with what stands there. Fields that are stored
nowhere say why. Rows of the table ``status`` hold all that was sent in their
``payload`` as well.

What is around the fields is the same for all channels of a protocol, and no
field of a row: ``channel``, ``event``, ``method`` say what a frame is, ``id``,
``payload``, ``connId``, ``conn_id``, ``trace_id`` and ``requestId`` belong to a
request and its answer, and ``error``, ``code`` and ``msg`` of a refusal are in
the ``detail`` of a gap. The envelope's ``time`` and ``time_ms`` are `ts_event`
where a result has no time of its own, and when the frame was sent otherwise.

Source: protocol facts, sections 1 to 5; the documents of Gate's v3, of OKX's
status channel and of the listing service.
"""

import json  # noqa: TID251 - tests judge the decoders, so they use another
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import pytest

from recorder.model import (
    NO_MARKET,
    Balance,
    Bbo,
    Chain,
    ContractStats,
    DepthUpdate,
    Kline,
    Liquidation,
    Market,
    Order,
    StatusEvent,
    Ticker,
    Trade,
)
from recorder.source import Heartbeat, Request, Secrets, Send, Told
from recorder.sources import _gate_v3_wire, cryptolisting, load, okx_status
from recorder.sources.gate_v3 import plan
from recorder.store.batch import build
from recorder.store.tables import TABLES


NOW_NS: Final = 1_790_000_002 * 10**9
TABLE_OF: Final = {
    Trade: "trades",
    DepthUpdate: "depth",
    Kline: "klines",
    Ticker: "tickers",
    Bbo: "bbo",
    Liquidation: "liquidations",
    ContractStats: "contract_stats",
    StatusEvent: "status",
    Order: "orders",
    Balance: "balances",
    Market: "markets",
}
SAME: Final = object()
SENT_AT: Final = 1_790_000_001_234_000_000
"""Envelope ``time_ms`` of the frames of v4, as `ts_event`."""


class Field(NamedTuple):
    """A documented field.

    Attributes:
        name: As the venue has it.
        sent: An example.
        column: Where it is stored; None if it is not.
        stored: What stands there.
        why: Why it is not stored.
    """

    name: str
    sent: Any
    column: str | None
    stored: Any = SAME
    why: str = ""


def lands(name: str, sent: Any, column: str, stored: Any = SAME) -> Field:
    return Field(name, sent, column, stored)


def left(name: str, sent: Any, why: str) -> Field:
    return Field(name, sent, None, why=why)


def levels(*pairs: tuple[float, float]) -> list[dict[str, float]]:
    return [{"price": price, "amount": amount} for price, amount in pairs]


class Channel(NamedTuple):
    """A channel, or one form of its pushes.

    Attributes:
        source: The feed.
        name: The channel, in the venue's word, and of which form.
        chain: What is asked for.
        frame: Makes a frame of the fields.
        fields: All that are documented.
        more: Columns that are filled without a field of their own.
    """

    source: str
    name: str
    chain: Chain
    frame: Callable[[dict[str, Any]], Any]
    fields: tuple[Field, ...]
    more: Mapping[str, Any] = {}


def v4(channel: str, event: str = "update", *, is_array: bool = False) -> Any:
    """Return what makes a push of v4."""

    def frame(result: dict[str, Any]) -> dict[str, Any]:
        return {
            "time": 1_790_000_001,
            "time_ms": 1_790_000_001_234,
            "channel": channel,
            "event": event,
            "result": [result] if is_array else result,
        }

    return frame


def v3(method: str, params: Callable[[dict[str, Any]], list[Any]]) -> Any:
    """Return what makes a push of v3."""
    return lambda fields: {"method": method, "params": params(fields), "id": None}


# Gate spot, v4 -------------------------------------------------------------

SPOT: Final = (
    Channel(
        "gate_spot",
        "spot.trades",
        Chain("BTC_USDT", "trades"),
        v4("spot.trades"),
        (
            lands("id", 5541729598, "trade_id"),
            left("create_time", 1682689046, "create_time_ms in whole seconds"),
            lands(
                "create_time_ms",
                "1682689046123.2642",
                "ts_event",
                1_682_689_046_123_264_200,
            ),
            lands("side", "buy", "side"),
            lands("currency_pair", "BTC_USDT", "market"),
            lands("amount", "89.238", "amount"),
            lands("price", "0.00000644", "price"),
            lands("range", "120000000001-120000000002", "range_first", 120000000001),
            lands("id_market", 77, "market_trade_id"),
            lands("stock", "1", "stock"),
            lands("money", "2.50", "money"),
            lands("trade_mode", 3, "trade_mode", "3"),
        ),
        {"range_last": 120000000002},
    ),
    Channel(
        "gate_spot",
        "spot.tickers",
        Chain("BTC_USDT", "tickers"),
        v4("spot.tickers"),
        (
            lands("currency_pair", "BTC_USDT", "market"),
            lands("last", "1.5", "last"),
            lands("lowest_ask", "1.6", "ask"),
            lands("highest_bid", "1.4", "bid"),
            lands("change_percentage", "-2.5", "change_pct"),
            lands("base_volume", "10.5", "base_volume"),
            lands("quote_volume", "15.75", "quote_volume"),
            lands("high_24h", "2.5", "high"),
            lands("low_24h", "0.5", "low"),
        ),
        {"ts_event": SENT_AT},
    ),
    Channel(
        "gate_spot",
        "spot.book_ticker",
        Chain("BTC_USDT", "bbo"),
        v4("spot.book_ticker"),
        (
            lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("u", 48123156, "update_id"),
            lands("s", "BTC_USDT", "market"),
            lands("b", "118.91", "bid_price"),
            lands("B", "13.548", "bid_amount"),
            lands("a", "118.99", "ask_price"),
            lands("A", "65.556", "ask_amount"),
        ),
    ),
    Channel(
        "gate_spot",
        "spot.candlesticks",
        Chain("BTC_USDT", "klines:1m"),
        v4("spot.candlesticks"),
        (
            lands("t", "1662803040", "open_at", 1_662_803_040_000_000_000),
            lands("v", "3272.187909", "turnover"),
            lands("c", "4", "close"),
            lands("h", "5", "high"),
            lands("l", "2", "low"),
            lands("o", "3", "open"),
            lands("n", "1m_BTC_USDT", "interval", "1m"),
            lands("a", "0.1533", "volume"),
            lands("w", True, "is_closed"),
        ),
        {"ts_event": SENT_AT, "market": "BTC_USDT"},
    ),
    Channel(
        "gate_spot",
        "spot.order_book_update",
        Chain("BTC_USDT", "depth:100ms"),
        v4("spot.order_book_update"),
        (
            lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("full", True, "is_snapshot"),
            lands("l", "100", "depth_limit"),
            left("e", "depthUpdate", "it is always the same"),
            left("E", 1_790_000_000, "t in whole seconds"),
            lands("s", "BTC_USDT", "market"),
            lands("U", 7, "first_update_id"),
            lands("u", 9, "last_update_id"),
            lands("b", [["1.5", "2"]], "bids", levels((1.5, 2.0))),
            lands("a", [["1.6", "0"]], "asks", levels((1.6, 0.0))),
        ),
        {"stream": "depth:100ms"},
    ),
    Channel(
        "gate_spot",
        "spot.order_book",
        Chain("BTC_USDT", "depth:top.20"),
        v4("spot.order_book"),
        (
            lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("lastUpdateId", 48123154, "last_update_id"),
            lands("s", "BTC_USDT", "market"),
            lands("l", "20", "depth_limit"),
            lands("bids", [["1.5", "2"]], "bids", levels((1.5, 2.0))),
            lands("asks", [["1.6", "3"]], "asks", levels((1.6, 3.0))),
        ),
        {"is_snapshot": True},
    ),
    Channel(
        "gate_spot",
        "spot.obu",
        Chain("BTC_USDT", "depth:obu.400"),
        v4("spot.obu"),
        (
            lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("full", True, "is_snapshot"),
            lands("s", "ob.BTC_USDT.400", "stream", "depth:obu.400"),
            lands("U", 7, "first_update_id"),
            lands("u", 9, "last_update_id"),
            lands("b", [["1.5", "2"]], "bids", levels((1.5, 2.0))),
            lands("a", [["1.6", "3"]], "asks", levels((1.6, 3.0))),
        ),
        {"market": "BTC_USDT", "depth_limit": 400},
    ),
    Channel(
        "gate_spot",
        "spot.system",
        Chain("BTC_USDT", "trades"),
        v4("spot.system"),
        (
            lands("type", "upgrade", "kind"),
            lands("msg", "The connection will soon be closed.", "title"),
            lands("data", {"more": 1}, "payload"),
        ),
        {"ts_event": SENT_AT},
    ),
)

# Gate futures, v4 ----------------------------------------------------------

_TOP: Final = (
    lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
    lands("id", 48123154, "last_update_id"),
    lands("contract", "BTC_USDT", "market"),
    lands("l", "20", "depth_limit"),
    lands("bids", [{"p": "1.5", "s": 2}], "bids", levels((1.5, 2.0))),
    lands("asks", [{"p": "1.6", "s": "3.5"}], "asks", levels((1.6, 3.5))),
)

FUTURES: Final = (
    Channel(
        "gate_futures",
        "futures.trades",
        Chain("BTC_USDT", "trades"),
        v4("futures.trades", is_array=True),
        (
            lands("size", "-108.5", "amount", 108.5),
            lands("id", 27753479, "trade_id"),
            left("create_time", 1_682_689_046, "create_time_ms in whole seconds"),
            lands(
                "create_time_ms", 1_682_689_046_123, "ts_event", 1_682_689_046_123000000
            ),
            lands("price", "96.4", "price"),
            lands("contract", "BTC_USDT", "market"),
            lands("is_internal", True, "is_internal"),
        ),
        {"side": "sell"},
    ),
    Channel(
        "gate_futures",
        "futures.trades of 2020, which had whole seconds",
        Chain("BTC_USDT", "trades"),
        v4("futures.trades", is_array=True),
        (
            lands("size", 22, "amount"),
            lands("id", 1696009, "trade_id"),
            lands("create_time", 1_593_561_623, "ts_event", 1_593_561_623_000_000_000),
            lands("price", "225.5", "price"),
            lands("contract", "BTC_USDT", "market"),
        ),
        {"side": "buy", "is_internal": None},
    ),
    Channel(
        "gate_futures",
        "futures.tickers",
        Chain("BTC_USDT", "tickers"),
        v4("futures.tickers", is_array=True),
        (
            lands("contract", "BTC_USDT", "market"),
            lands("last", "77175.1", "last"),
            lands("change_percentage", "0.77", "change_pct"),
            lands("funding_rate", "-0.000114", "funding_rate"),
            lands("funding_rate_indicative", "0.01875", "funding_rate_indicative"),
            lands("mark_price", "118.35", "mark_price"),
            lands("index_price", "118.36", "index_price"),
            lands("total_size", "73648", "open_interest"),
            lands("volume_24h", "745487577", "base_volume"),
            lands("volume_24h_base", "5526", "turnover_base"),
            lands("volume_24h_quote", "1665006", "quote_volume"),
            lands("volume_24h_settle", "178", "turnover_settle"),
            lands("volume_24h_btc", "117", "turnover_btc"),
            lands("volume_24h_usd", "419950", "turnover_usd"),
            lands("quanto_base_rate", "0.0002", "quanto_base_rate"),
            lands("low_24h", "99.2", "low"),
            lands("high_24h", "132.5", "high"),
            lands("funding_interval", 28800, "funding_interval_s"),
            lands("funding_offset", 60, "funding_offset_s"),
            lands(
                "funding_next_apply",
                1_789_459_200,
                "funding_next_at",
                1_789_459_200_000_000_000,
            ),
            lands("price_type", "last", "price_type"),
            lands("t", 1_789_456_337_802, "ts_event", 1_789_456_337_802_000_000),
        ),
    ),
    Channel(
        "gate_futures",
        "futures.book_ticker",
        Chain("BTC_USDT", "bbo"),
        v4("futures.book_ticker"),
        (
            lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("u", 6159967, "update_id"),
            lands("s", "BTC_USDT", "market"),
            lands("b", "0.7379", "bid_price"),
            lands("B", 814, "bid_amount"),
            lands("a", "0.739", "ask_price"),
            lands("A", "677.5", "ask_amount"),
        ),
    ),
    Channel(
        "gate_futures",
        "futures.candlesticks",
        Chain("BTC_USDT", "klines:mark.1m"),
        v4("futures.candlesticks", is_array=True),
        (
            lands("t", 1_684_930_140, "open_at", 1_684_930_140_000_000_000),
            lands("v", 27525555, "volume"),
            lands("c", "4", "close"),
            lands("h", "5", "high"),
            lands("l", "2", "low"),
            lands("o", "3", "open"),
            lands("n", "1m_mark_BTC_USDT", "interval", "mark.1m"),
            lands("a", "314732.87412", "turnover_base"),
            lands("w", False, "is_closed"),
        ),
        {"ts_event": SENT_AT, "market": "BTC_USDT"},
    ),
    Channel(
        "gate_futures",
        "futures.order_book_update",
        Chain("BTC_USDT", "depth:100ms.20"),
        v4("futures.order_book_update"),
        (
            lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("full", True, "is_snapshot"),
            lands("l", "20", "depth_limit"),
            lands("s", "BTC_USDT", "market"),
            lands("U", 7, "first_update_id"),
            lands("u", 9, "last_update_id"),
            lands("b", [{"p": "1.5", "s": 2}], "bids", levels((1.5, 2.0))),
            lands("a", [{"p": "1.6", "s": "0"}], "asks", levels((1.6, 0.0))),
        ),
    ),
    Channel(
        "gate_futures",
        "futures.order_book, event all",
        Chain("BTC_USDT", "depth:top.20"),
        v4("futures.order_book", "all"),
        _TOP,
        {"is_snapshot": True},
    ),
    Channel(
        "gate_futures",
        "futures.order_book, event update",
        Chain("BTC_USDT", "depth:top.20"),
        v4("futures.order_book", is_array=True),
        (
            lands("p", "1.6", "asks", levels((1.6, 3.5))),
            lands("s", "-3.5", "asks", levels((1.6, 3.5))),
            lands("c", "BTC_USDT", "market"),
            lands("id", 48123154, "last_update_id"),
        ),
        {"is_snapshot": False, "bids": [], "ts_event": SENT_AT},
    ),
    Channel(
        "gate_futures",
        "futures.obu",
        Chain("BTC_USDT", "depth:obu.50"),
        v4("futures.obu"),
        (
            lands("t", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("full", True, "is_snapshot"),
            lands("s", "ob.BTC_USDT.50", "stream", "depth:obu.50"),
            lands("U", 7, "first_update_id"),
            lands("u", 9, "last_update_id"),
            lands("b", [["1.5", "2"]], "bids", levels((1.5, 2.0))),
            lands("a", [["1.6", "3.5"]], "asks", levels((1.6, 3.5))),
        ),
        {"market": "BTC_USDT"},
    ),
    Channel(
        "gate_futures",
        "futures.public_liquidates",
        Chain("BTC_USDT", "liquidations"),
        v4("futures.public_liquidates", is_array=True),
        (
            lands("price", 215.1, "price"),
            lands("size", "-124.5", "size"),
            lands("time_ms", 1_541_486_601_123, "ts_event", 1_541_486_601_123_000_000),
            lands("contract", "BTC_USDT", "market"),
        ),
    ),
    Channel(
        "gate_futures",
        "futures.public_liquidates since August 2026",
        Chain("BTC_USDT", "liquidations"),
        v4("futures.public_liquidates", is_array=True),
        (
            lands("price", "215.1", "price"),
            lands("size", 3, "size"),
            lands("time", 1_790_000_000_753, "ts_event", 1_790_000_000_753_000_000),
            lands("contract", "BTC_USDT", "market"),
        ),
    ),
    Channel(
        "gate_futures",
        "futures.contract_stats",
        Chain("BTC_USDT", "contract_stats:1m"),
        v4("futures.contract_stats", is_array=True),
        (
            lands("time", 1_603_865_400, "ts_event", 1_603_865_400_000_000_000),
            lands("contract", "BTC_USDT", "market"),
            lands("mark_price", 8865.5, "mark_price"),
            lands("lsr_taker", 100, "long_short_taker"),
            lands("lsr_account", 0.5, "long_short_accounts"),
            lands("long_liq_size", 1, "long_liq_size"),
            lands("long_liq_amount", 2.5, "long_liq_amount"),
            lands("long_liq_usd", 3.5, "long_liq_usd"),
            lands("short_liq_size", "4.5", "short_liq_size"),
            lands("short_liq_amount", 5.5, "short_liq_amount"),
            lands("short_liq_usd", 6.5, "short_liq_usd"),
            lands("open_interest", 124724, "open_interest"),
            lands("open_interest_usd", 1511, "open_interest_usd"),
            lands("top_lsr_account", 1.5, "top_long_short_accounts"),
            lands("top_lsr_size", 1.02, "top_long_short_size"),
        ),
        {"interval": "1m"},
    ),
    Channel(
        "gate_futures",
        "futures.system",
        Chain("BTC_USDT", "trades"),
        v4("futures.system"),
        (
            lands("type", "upgrade", "kind"),
            lands("msg", "The connection will soon be closed.", "title"),
            lands("data", {"more": 1}, "payload"),
        ),
        {"ts_event": SENT_AT},
    ),
)

# Gate spot, v3 -------------------------------------------------------------

_TICKER_V3: Final = (
    lands("period", 86400, "period_s"),
    lands("open", "3", "open"),
    lands("close", "0", "close"),
    lands("high", "5", "high"),
    lands("low", "2", "low"),
    lands("last", "0.2844", "last"),
    lands("change", "-1.54", "change_pct"),
    # The venue has these names the wrong way round.
    lands("quoteVolume", "780.195181207", "base_volume"),
    lands("baseVolume", "35527977.73", "quote_volume"),
)
_TRADE_V3: Final = (
    lands("id", 7172173, "trade_id"),
    lands("time", 1523339279.761838, "ts_event", 1_523_339_279_761_838_000),
    lands("price", "398.59", "price"),
    lands("amount", "0.027", "amount"),
    lands("type", "buy", "side"),
)
_KLINE_V3: Final = (
    lands("time", 1_492_358_400, "open_at", 1_492_358_400_000_000_000),
    lands("open", "7000.00", "open"),
    lands("close", "8000.0", "close"),
    lands("highest", "8100.00", "high"),
    lands("lowest", "6800.00", "low"),
    lands("volume", "1000.00", "volume"),
    lands("amount", "123456.00", "turnover"),
    lands("market_name", "BTC_USDT", "market"),
    lands("window closed", True, "is_closed"),
)
_DEPTH_V3: Final = (
    lands("asks", [["1.6", "3"]], "asks", levels((1.6, 3.0))),
    lands("bids", [["1.5", "2"]], "bids", levels((1.5, 2.0))),
    left("id", 740699, "in no document; it continues nothing"),
    lands("current", 1669860182.101, "ts_event", 1_669_860_182_101_000_000),
    left("update", 1669860182.1, "in no document; the pushes tell when a book changes"),
)
_ORDER_V3: Final = (
    lands("id", 796563387, "order_id"),
    lands("market", "EOS_USDT", "market"),
    lands("user", 1336974, "user_id"),
    lands("ctime", 1527082744.51649, "created_at", 1_527_082_744_516_490_000),
    lands("mtime", 1527082745.25, "ts_event", 1_527_082_745_250_000_000),
    lands("ftime", 1527082746.5, "finished_at", 1_527_082_746_500_000_000),
    lands("price", "0.1", "price"),
    lands("amount", "100", "amount"),
    lands("left", "60", "open_amount"),
    lands("dealFee", "0.08", "fee"),
    lands("orderType", 1, "order_type", "limit"),
    lands("type", 2, "side", "buy"),
    lands("filledAmount", "40", "filled_amount"),
    lands("filledTotal", "4", "filled_total"),
    lands("text", "mine", "text"),
)
_BALANCE_V3: Final = (
    lands("available", "250", "available"),
    lands("freeze", "1.5", "frozen"),
)

V3: Final = (
    Channel(
        "gate_v3",
        "ticker.update",
        Chain("BTC_USDT", "tickers"),
        v3("ticker.update", lambda fields: ["BTC_USDT", fields]),
        _TICKER_V3,
        {"market": "BTC_USDT"},
    ),
    Channel(
        "gate_v3",
        "trades.update",
        Chain("BTC_USDT", "trades"),
        v3("trades.update", lambda fields: ["BTC_USDT", [fields]]),
        _TRADE_V3,
        {"market": "BTC_USDT"},
    ),
    Channel(
        "gate_v3",
        "depth.update",
        Chain("BTC_USDT", "depth:30"),
        v3("depth.update", lambda fields: [True, fields, "BTC_USDT"]),
        _DEPTH_V3,
        {"market": "BTC_USDT", "is_snapshot": True},
    ),
    Channel(
        "gate_v3",
        "kline.update",
        Chain("BTC_USDT", "klines:1m"),
        v3("kline.update", lambda fields: [list(fields.values())]),
        _KLINE_V3,
        {"interval": "1m"},
    ),
    Channel(
        "gate_v3",
        "order.update",
        Chain("EOS_USDT", "orders"),
        v3("order.update", lambda fields: [2, fields]),
        _ORDER_V3,
        {"event": "update"},
    ),
    Channel(
        "gate_v3",
        "balance.update",
        Chain(NO_MARKET, "balances"),
        v3("balance.update", lambda fields: [{"EOS": fields}]),
        _BALANCE_V3,
        {"asset": "EOS", "event": "update"},
    ),
)

# What venues say of themselves ---------------------------------------------

_NEWS: Final = (
    lands("title", "Binance Will List ABC", "title"),
    lands("ticker", "ABC,DEF", "markets", ["ABC", "DEF"]),
    lands("publisher", "binance", "publisher"),
    lands("listingType", "spot_listing", "state"),
    lands("publishTimestampUs", 1_710_345_000_000_000, "payload"),
    lands(
        "detectedTimestampUs",
        1_710_345_000_005_000,
        "ts_event",
        1_710_345_000_005_000_000,
    ),
    lands("dispatchTimestampUs", 1_710_345_000_006_000, "payload"),
    lands("abnormalDetectionLatency", True, "payload"),
)


def _told(name: str, /, *fields: Field, **more: Any) -> Channel:
    """Return a message of the listing service."""
    return Channel(
        "cryptolisting",
        name,
        Chain(NO_MARKET, "status"),
        lambda sent: {"type": name, **sent},
        fields,
        more,
    )


STATUS: Final = (
    Channel(
        "gate_announcements",
        "announcement.summary_listing",
        Chain(NO_MARKET, "status:summary_listing"),
        v4("announcement.summary_listing"),
        (
            lands("lang", "en", "payload"),
            lands("origin_url", "https://gate.example/1", "url"),
            lands("title", "Gate lists ABC", "title"),
            lands("brief", "In short", "payload"),
            lands("published_at", 1_790_000_000, "ts_event", 1_790_000_000 * 10**9),
            lands("type", "listing", "payload"),
        ),
        {"kind": "announcement", "state": "summary_listing", "publisher": "gate"},
    ),
    Channel(
        "okx_status",
        "status",
        Chain(NO_MARKET, "status"),
        lambda fields: {"arg": {"channel": "status"}, "data": [fields]},
        (
            lands("begin", "1672823400000", "starts_at", 1_672_823_400_000_000_000),
            lands("end", "1672825980000", "ends_at", 1_672_825_980_000_000_000),
            lands("href", "https://okx.example/1", "url"),
            lands("preOpenBegin", "1672825000000", "payload"),
            lands("scheDesc", "Rescheduled", "payload"),
            lands("serviceType", "0", "payload"),
            lands("state", "completed", "state"),
            lands("system", "unified", "payload"),
            lands("maintType", "1", "payload"),
            lands("env", "1", "payload"),
            lands("title", "WebSocket system upgrade", "title"),
            lands("ts", "1672826038470", "ts_event", 1_672_826_038_470_000_000),
        ),
        {"kind": "maintenance"},
    ),
    Channel(
        "okx_status",
        "notice",
        Chain(NO_MARKET, "status"),
        lambda fields: {"event": "notice", **fields},
        (
            lands("code", "64008", "state"),
            lands("msg", "The connection will soon be closed.", "title"),
            lands("connId", "761bf5d1", "payload"),
        ),
        {"kind": "upgrade"},
    ),
    _told(
        "welcome",
        lands("tier", "premium", "payload"),
        lands("maxConnections", 5, "payload"),
        lands("maxDistinctIps", 3, "payload"),
        lands("maxConnectionsPerIp", 5, "payload"),
        lands("absoluteMaxConnections", 20, "payload"),
        lands("allowedCex", "*", "payload"),
        lands("expiresInSecs", 2592000, "payload"),
    ),
    _told("announcement", *_NEWS, kind="announcement"),
    _told("test_announcement", *_NEWS, kind="test_announcement"),
    _told(
        "error",
        lands("code", "test_rate_limited", "state"),
        lands("retryAfterSecs", 42, "payload"),
        kind="error",
    ),
)

CHANNELS: Final = SPOT + FUTURES + V3 + STATUS


# The proof -----------------------------------------------------------------


def dialogue_of(source: str, chain: Chain) -> Any:
    feed = load(source)
    secrets = Secrets({"key": "key", "secret": "secret"})
    options = {option.name: option.default or "" for option in feed.options}
    return feed.dialogue([chain], options, secrets)


def stored(events: Iterable[Any]) -> dict[str, Any]:
    """Return the one row that is stored of what was said, times as integers."""
    (event,) = (event for event in events if type(event) in TABLE_OF)
    table = TABLES[TABLE_OF[type(event)]]
    built = build(table, [(NOW_NS, "r.1", 0, 0, event, b"{}")])
    assert (built.kept, built.faults) == ([], [])
    row: dict[str, Any] = {}
    for column in table.columns:
        value = built.batch.column(column.name)[0]
        is_time = column.type == "timestamp[ns]"
        row[column.name] = value.value if is_time else value.as_py()
    return row


def check(fields: Iterable[Field], row: Mapping[str, Any]) -> None:
    """Compare each field with where it is said to be stored."""
    for field in fields:
        if field.column is None:
            assert field.why, field.name
        elif field.column != "payload":
            value = row[field.column]
            same = type(value)(field.sent) if field.stored is SAME else field.stored
            assert value == same, field.name
        if "payload" in row and field.column is not None:
            assert field.sent in list(values_of(json.loads(row["payload"]), field.name))


def values_of(value: Any, name: str) -> Iterable[Any]:
    """Find all that JSON holds under a name, however deep."""
    if isinstance(value, dict):
        yield from (value[name],) if name in value else ()
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from values_of(item, name)


@pytest.mark.parametrize(
    "channel", CHANNELS, ids=[f"{one.source}: {one.name}" for one in CHANNELS]
)
def test_each_documented_field_of_a_push_is_stored_where_it_is_said(
    channel: Channel,
) -> None:
    dialogue = dialogue_of(channel.source, channel.chain)
    sent = {field.name: field.sent for field in channel.fields}
    frame = json.dumps(channel.frame(sent)).encode()

    row = stored(dialogue.receive(frame, NOW_NS))

    check(channel.fields, row)
    assert {name: row[name] for name in channel.more} == channel.more
    assert dialogue.unknown_keys(frame) == ()


def test_every_key_that_a_feed_knows_has_its_line_here() -> None:
    known: dict[str, set[str]] = {}
    for name in ("gate_spot", "gate_futures", "gate_announcements"):
        for channel, keys in load(name).dialogue.known.items():
            known[channel] = set(keys)
    for method, params in _gate_v3_wire._KNOWN_PARAMS.items():
        if method != "kline.update":  # its rows have places, not names
            (part,) = (part for part in params if part)
            known[method] = set(part[0] if isinstance(part, list) else part)
    known["status"] = set(okx_status._KNOWN["data"][0])
    for kind, keys in cryptolisting._KEYS.items():
        known[kind] = set(keys) - {"type"}
    told: dict[str, set[str]] = {}
    for channel in CHANNELS:
        name = channel.name.partition(" of ")[0].partition(" since ")[0]
        fields = {field.name for field in channel.fields}
        told.setdefault(name.partition(",")[0], set()).update(fields)

    # All types of announcements are alike.
    for name in [name for name in known if name.startswith("announcement.")]:
        if name not in told:
            assert known.pop(name) == told["announcement.summary_listing"]
    assert known.pop("heartbeat") == {"timestampNs", "timeUtc"}  # see below
    assert {name: told[name] for name in known} == known


def test_the_time_of_a_heartbeat_is_the_clock_of_the_service() -> None:
    dialogue = dialogue_of("cryptolisting", Chain(NO_MARKET, "status"))
    # timeUtc is the same time for people, and not stored.
    heartbeat = b'{"type":"heartbeat","timestampNs":1710345030123456789,"timeUtc":"x"}'

    said = dialogue.receive(heartbeat, NOW_NS)

    assert said[-1] == Heartbeat(ts_event=1_710_345_030_123_456_789)


# What venues answer when they are asked ------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "result"),
    [
        ("ticker", _TICKER_V3, dict),
        ("trades", _TRADE_V3, lambda fields: [dict(fields)]),
        ("kline", _KLINE_V3, lambda fields: [[value for _, value in fields]]),
        ("depth", _DEPTH_V3, dict),
    ],
)
def test_each_documented_field_of_an_answer_of_v3_is_told(
    name: str, fields: tuple[Field, ...], result: Callable[[Any], Any]
) -> None:
    (query,) = (q for q in load("gate_v3").queries if q.name == name)
    given = {"interval": "1m"} if name == "kline" else {}
    values = query.values(given, NOW_NS)
    answer = {"error": None, "result": result([f[:2] for f in fields]), "id": 1}

    told = query.answer(1, "BTC_USDT", values, json.dumps(answer).encode())

    assert isinstance(told, Told)
    check(fields, stored(told.events))
    columns = {*query.columns, "market", "bids", "asks"}
    assert {field.column for field in fields if field.column} <= columns


def test_each_documented_field_of_open_orders_and_balances_is_stored() -> None:
    chains = [Chain("EOS_USDT", "orders"), Chain(NO_MARKET, "balances")]
    (group,) = plan(chains)
    secrets = Secrets({"key": "key", "secret": "secret"})
    dialogue = load("gate_v3").dialogue(group, {"keys": "v3"}, secrets)
    page = {
        "limit": 100,  # as it was asked for
        "offset": 0,
        "total": 1,
        "records": [{field.name: field.sent for field in _ORDER_V3}],
    }
    results = {
        "order.query": page,
        "balance.query": {"EOS": {f.name: f.sent for f in _BALANCE_V3}},
    }
    rows: dict[str, dict[str, Any]] = {}
    asked: list[Request] = list(dialogue.open(NOW_NS))

    while asked:
        request = json.loads(asked.pop(0).payload)
        result = results.get(request["method"], {"status": "success"})
        frame = {"error": None, "result": result, "id": request["id"]}
        said = dialogue.receive(json.dumps(frame).encode(), NOW_NS)
        asked += [
            r for reply in said if isinstance(reply, Send) for r in reply.requests
        ]
        if request["method"] in results:
            rows[request["method"]] = stored(said)

    check(_ORDER_V3, rows["order.query"])
    assert (rows["order.query"]["position"], rows["order.query"]["open_orders"]) == (
        0,
        1,
    )
    check(_BALANCE_V3, rows["balance.query"])
    assert rows["balance.query"]["asset"] == "EOS"


@pytest.mark.parametrize(
    ("source", "chain", "current", "level"),
    [
        ("gate_spot", Chain("A_B", "depth:100ms"), 1_790_000_000_753, ["1.5", "2"]),
        (
            "gate_futures",
            Chain("A_B", "depth:100ms"),
            1_790_000_000.753,
            {"p": "1.5", "s": 2},
        ),
    ],
)
def test_each_documented_field_of_a_book_by_http_is_stored(
    source: str, chain: Chain, current: float, level: object
) -> None:
    rule = load(source).snapshot
    assert rule is not None
    fields = (
        lands("id", 6358826658, "last_update_id"),
        lands("current", current, "ts_event", 1_790_000_000_753_000_000),
        left("update", current, "the pushes tell when a book changes"),
        lands("asks", [], "asks", []),
        lands("bids", [level], "bids", levels((1.5, 2.0))),
    )
    body = json.dumps({field.name: field.sent for field in fields}).encode()

    check(fields, stored([rule.decode(chain, body)]))


@pytest.mark.parametrize("source", ["gate_spot", "gate_futures", "gate_v3"])
def test_a_list_of_markets_is_stored_as_it_is(source: str) -> None:
    listed = load(source).market_list
    assert listed is not None
    entry = {"id": "A_B", "name": "A_B", "whatever": {"is": ["sent", 1.50]}}

    row = stored(listed.decode(json.dumps([entry]).encode()))

    assert json.loads(row["payload"]) == entry
