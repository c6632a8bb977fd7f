"""What clients of v4 futures may ask for, and what they mean by it."""

from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from recorder.simulator.depth_v4 import Topic
from recorder.simulator.envelope_v4 import Refusal, Request


KLINE_INTERVALS: Final = (
    "10s",
    "1m",
    "5m",
    "15m",
    "30m",
    "1h",
    "4h",
    "8h",
    "1d",
    "7d",
)
INTERVAL_SECONDS: Final = {
    "1s": 1,
    "10s": 10,
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1_800,
    "1h": 3_600,
    "4h": 14_400,
    "8h": 28_800,
    "1d": 86_400,
    "3d": 259_200,
    "7d": 604_800,
}
"""Intervals of statistics, in seconds."""
BOOK_LEVELS: Final = {"100ms": ("100", "50", "20"), "20ms": ("20",)}
"""Levels a side that order book updates may be asked for, by their pace."""
TOP_LEVELS: Final = ("1", "5", "10", "20", "50", "100")
EVERY: Final = "!all"
"""Stands for all contracts where liquidations are asked for."""
NO_MORE: Final = "unsub_all"
"""Takes all statistics back: an event, or the place of a contract."""

_STREAMS: Final = {
    "trades": "trades",
    "tickers": "tickers",
    "candlesticks": "klines",
    "book_ticker": "bbo",
    "order_book_update": "depth",
    "order_book": "depth",
    "public_liquidates": "liquidations",
    "contract_stats": "contract_stats",
}
_PRICES: Final = ("mark", "index")
_UNTOLD: Final = "any"
"""Stands for levels that were not asked for in the name of a parameter."""


class Asking:
    """Reads requests about some contracts."""

    def __init__(self, contracts: Collection[str]) -> None:
        self._contracts = contracts

    def stream_of(self, topic: Topic) -> str:
        """Return the stream of a topic: ``depth``, ``trades``, ..."""
        return _STREAMS[topic.channel]

    def speed_of(self, topic: Topic) -> tuple[str, int]:
        """Return pace and levels a side of order book updates.

        Returns:
            ``100ms`` or ``20ms``; 0 levels if none were asked for.
        """
        interval, _, levels = topic.parameter.partition(".")
        if levels == _UNTOLD:
            return interval, 0
        return interval, int(levels or BOOK_LEVELS[interval][0])

    def topics(
        self, request: Request, held: Collection[Topic]
    ) -> Sequence[Topic] | Refusal:
        """Return what a request is about; one bad contract refuses it all.

        Channels lose the start of their names that all have.

        Args:
            request: The request.
            held: What its sender is subscribed to.
        """
        prefix, _, channel = request.channel.partition(".")
        if prefix != "futures" or channel not in _STREAMS:
            return Refusal(2, f"Unknown channel {request.channel}")
        if channel == "contract_stats" and request.event == NO_MORE:
            return _stats(held)
        if request.event not in {"subscribe", "unsubscribe"}:
            return Refusal(1, f"unknown event: {request.event}")
        try:
            payload = msgspec.convert(request.payload, tuple[str, ...])
        except msgspec.ValidationError:
            payload = ()
        if not payload:
            return Refusal(2, "invalid argument: payload")
        ends = request.event == "unsubscribe"
        if channel == "contract_stats" and ends and payload[0] == NO_MORE:
            return _stats(held)
        return self._read(channel, payload, held if ends else ())

    def _read(
        self, channel: str, payload: Sequence[str], held: Collection[Topic]
    ) -> Sequence[Topic] | Refusal:
        """Return what a payload names; some of what is held may be meant."""
        if channel == "candlesticks":
            return self._klines(payload)
        if channel == "order_book_update":
            return self._books(payload, held)
        if channel == "order_book":
            return self._tops(payload)
        if channel == "contract_stats":
            return self._statistics(payload)
        return self._listed(channel, payload)

    def _listed(self, channel: str, payload: Sequence[str]) -> list[Topic] | Refusal:
        known = {EVERY} if channel == "public_liquidates" else set()
        for name in payload:
            if name not in self._contracts and name not in known:
                return _unknown(name)
        return [Topic(channel, name, "") for name in payload]

    def _klines(self, payload: Sequence[str]) -> list[Topic] | Refusal:
        if len(payload) != 2:
            return Refusal(2, "invalid argument: payload is [interval, contract]")
        interval, name = payload
        if interval not in KLINE_INTERVALS:
            return Refusal(2, f"incorrect interval specified: {interval}")
        kind, _, rest = name.partition("_")
        if kind in _PRICES and rest in self._contracts:
            return [Topic("candlesticks", rest, f"{kind}.{interval}")]
        if name not in self._contracts:
            return _unknown(name)
        return [Topic("candlesticks", name, interval)]

    def _books(
        self, payload: Sequence[str], held: Collection[Topic]
    ) -> list[Topic] | Refusal:
        """Return one book; to end it, its levels need not be named."""
        if not 2 <= len(payload) <= 3:
            return Refusal(2, "invalid argument: payload is [contract, pace, level]")
        name, interval, *rest = payload
        if name not in self._contracts:
            return _unknown(name)
        levels = BOOK_LEVELS.get(interval)
        if levels is None:
            return Refusal(2, f"incorrect update interval specified: {interval}")
        if rest and rest[0] not in levels:
            return Refusal(2, f"provided level not supported: {rest[0]}")
        if not rest and held:
            return [
                topic
                for topic in held
                if topic.channel == "order_book_update"
                and topic.market == name
                and topic.parameter.partition(".")[0] == interval
            ]
        asked = rest[0] if rest else levels[0] if len(levels) == 1 else _UNTOLD
        end = "" if asked == levels[0] else f".{asked}"
        return [Topic("order_book_update", name, f"{interval}{end}")]

    def _tops(self, payload: Sequence[str]) -> list[Topic] | Refusal:
        if len(payload) != 3:
            return Refusal(2, "invalid argument: payload is [contract, limit, step]")
        name, levels, step = payload
        if name not in self._contracts:
            return _unknown(name)
        if levels not in TOP_LEVELS:
            return Refusal(2, f"provided level not supported: {levels}")
        if step != "0":
            return Refusal(2, f"incorrect interval specified: {step}")
        return [Topic("order_book", name, f"top.{levels}")]

    def _statistics(self, payload: Sequence[str]) -> list[Topic] | Refusal:
        if len(payload) != 2:
            return Refusal(2, "invalid argument: payload is [contract, interval]")
        name, interval = payload
        if name not in self._contracts:
            return _unknown(name)
        if interval not in INTERVAL_SECONDS:
            return Refusal(2, f"incorrect interval specified: {interval}")
        return [Topic("contract_stats", name, interval)]


def _stats(held: Collection[Topic]) -> list[Topic]:
    return [topic for topic in held if topic.channel == "contract_stats"]


def _unknown(name: str) -> Refusal:
    return Refusal(2, f"unknown contract: {name}")
