"""Gate's announcements, a WebSocket of their own at ``/ws/v4/ann``.

A channel is subscribed for one language or more. Its latest announcement is
pushed again to each subscriber a moment after the answer. The envelope is
that of v4; the data are an object with ``lang``, ``origin_url``, ``title``,
``brief`` and ``published_at`` in whole seconds. The channel of all
announcements also tells the ``type``, and repeats what has two types.
"""

import random

import msgspec

from recorder.simulator.connection import Connection, Context, Push
from recorder.simulator.envelope_v4 import (
    EnvelopeV4,
    Refusal,
    Request,
    decode_request,
)
from recorder.simulator.numbers import MS_NS, SECOND_NS
from recorder.simulator.settings import Settings
from recorder.simulator.truth import Facts, Notice


FEED = "ann"
PREFIX = "announcement."
LANGUAGES = ("en", "cn")
TYPES = {
    "listing": "Gate will list TOKEN",
    "delisting": "Gate will delist TOKEN",
    "fee": "Gate adjusts the fees of TOKEN",
    "etf": "Gate ETF: TOKEN merges its units",
    "deposit_withdrawal": "Gate suspends deposits and withdrawals of TOKEN",
    "rename": "Gate: TOKEN gets a new name",
    "precision": "Gate adjusts the price precision of TOKEN",
    "engine_upgrade": "Gate upgrades its matching engine",
    "ipos": "Gate opens the subscription of TOKEN",
    "stock_split": "Gate: the stock TOKEN is split",
}
"""Titles by type; the last has no channel of its own."""
ALL = "summary_all"
CHANNELS = (*(f"summary_{kind}" for kind in list(TYPES)[:-1]), ALL)
_PAIR_EVERY = 4
_SERVER_ERROR = Refusal(3, "internal error")


class Article(msgspec.Struct, frozen=True, kw_only=True):
    """An announcement.

    Attributes:
        number: Of the article, in its address.
        types: What it is about, one or two of `TYPES`.
        published_s: When, unix seconds.
    """

    number: int
    types: tuple[str, ...]
    published_s: int


class _Session:
    """What is known of a connection."""

    __slots__ = ("conn_id", "topics")

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        # Channel and language; a dict serves as a set that keeps its order.
        self.topics: dict[tuple[str, str], None] = {}


class Announcements:
    """The feed."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._rng = random.Random(f"{settings.seed}:{FEED}")
        self._wire = EnvelopeV4(settings, self._rng)
        self._sessions: dict[Connection, _Session] = {}
        self._latest: dict[str, tuple[str, Article]] = {}
        self._cached: list[tuple[int, Connection, str, str]] = []
        self._number = self._rng.randint(30_000, 60_000)
        self._made = 0
        self._due_ns: int | None = None

    def opened(self, conn: Connection) -> None:
        """Welcome a connection; the venue says nothing."""
        self._sessions[conn] = _Session(f"{self._rng.getrandbits(64):016x}")

    def closed(self, conn: Connection) -> None:
        """Forget a connection."""
        del self._sessions[conn]

    def receive(self, conn: Connection, text: str) -> None:
        """Answer what a client sent; text that is not JSON gets no answer."""
        request = decode_request(text)
        if request is None:
            return
        context = self._context
        now_ns = context.clock.now_ns()
        session = self._sessions[conn]
        if isinstance(request, Refusal):
            empty = Request(channel="", event="")
            answer = self._wire.answer(empty, request, session.conn_id, now_ns)
            conn.reply(answer)
            return
        if request.channel == f"{PREFIX}ping":
            conn.reply(self._pong(request, session, now_ns))
            return
        topics = self._topics(request)
        strike = context.plan.strike("ann_error", now_ns)
        if strike:
            context.performed("ann_error", FEED, conn=conn.number)
            topics = _SERVER_ERROR
        refusal = topics if isinstance(topics, Refusal) else None
        conn.reply(self._wire.answer(request, refusal, session.conn_id, now_ns))
        if isinstance(topics, Refusal):
            return
        if request.event == "unsubscribe":
            for topic in topics:
                session.topics.pop(topic, None)
            return
        context.accepted()
        due_ns = now_ns + int(self._settings.ann_cached_seconds * SECOND_NS)
        for channel, language in topics:
            session.topics[channel, language] = None
            self._cached.append((due_ns, conn, channel, language))

    def repeat(self, now_ns: int) -> None:
        """Push the latest announcements again to those who just subscribed."""
        waiting, self._cached = self._cached, []
        for cached in waiting:
            due_ns, conn, channel, language = cached
            if due_ns > now_ns:
                self._cached.append(cached)
            elif channel in self._latest and conn.is_open:
                conn.push(self._push(channel, language, now_ns))

    def publish(self, now_ns: int) -> None:
        """Publish an announcement, if it is time."""
        period_ns = int(self._settings.ann_seconds * SECOND_NS)
        if period_ns and self._due_ns is None:
            self._due_ns = now_ns + period_ns
        elif self._due_ns is not None and now_ns >= self._due_ns:
            self._due_ns += period_ns
            self.announce()

    def announce(self) -> Article:
        """Publish an announcement to whom it concerns.

        Returns:
            What was published: of each type in turn, now and then of two.
        """
        now_ns = self._context.clock.now_ns()
        names = list(TYPES)
        kinds = [names[self._made % len(names)]]
        self._made += 1
        if self._made % _PAIR_EVERY == 0:
            kinds.append(names[self._made % len(names)])
        self._number += self._rng.randint(1, 9)
        article = Article(
            number=self._number, types=tuple(kinds), published_s=now_ns // SECOND_NS
        )
        for kind in kinds:
            for channel in (f"summary_{kind}", ALL):
                if channel in CHANNELS:
                    self._latest[channel] = kind, article
                    self._spread(channel, now_ns)
        return article

    def strike_time(self, now_ns: int, elapsed_seconds: float) -> None:
        """Perform faults that come with time, and drop idle connections."""
        settings = self._settings
        for conn, session in list(self._sessions.items()):
            conn.strike_time(now_ns, elapsed_seconds)
            seconds = (
                settings.idle_subscribed_seconds
                if session.topics
                else settings.idle_unsubscribed_seconds
            )
            is_idle = now_ns - conn.active_ns >= seconds * SECOND_NS
            if conn.is_open and not conn.is_stalled and is_idle:
                self._context.counters["idle_closes"] += 1
                conn.abort()

    def _spread(self, channel: str, now_ns: int) -> None:
        """Push the latest announcement of a channel to all its subscribers."""
        for language in LANGUAGES:
            self._context.truth.add(
                Notice(
                    ts_ns=now_ns,
                    feed=FEED,
                    stream=f"status:{channel}",
                    option=language,
                    facts=self._facts(channel, language),
                )
            )
            push = self._push(channel, language, now_ns)
            for conn, session in self._sessions.items():
                if (channel, language) in session.topics:
                    conn.push(push)

    def _topics(self, request: Request) -> list[tuple[str, str]] | Refusal:
        """Return what a request is about."""
        channel = request.channel.removeprefix(PREFIX)
        if channel not in CHANNELS or channel == request.channel:
            return Refusal(2, f"Unknown channel {request.channel}")
        if request.event not in {"subscribe", "unsubscribe"}:
            return Refusal(1, f"unknown event: {request.event}")
        try:
            languages = msgspec.convert(request.payload, tuple[str, ...])
        except msgspec.ValidationError:
            languages = ()
        if not languages or not set(languages) <= set(LANGUAGES):
            return Refusal(2, "invalid argument: payload")
        return [(channel, language) for language in languages]

    def _pong(self, request: Request, session: _Session, now_ns: int) -> bytes:
        pong = {
            "time": now_ns // SECOND_NS,
            "time_ms": now_ns // MS_NS,
            "conn_id": session.conn_id,
            "channel": f"{PREFIX}pong",
            "event": "",
            "result": None,
        }
        if request.id is not None:
            pong["id"] = request.id
        return msgspec.json.encode(pong)

    def _push(self, channel: str, language: str, now_ns: int) -> Push:
        frame = {
            "time": now_ns // SECOND_NS,
            "time_ms": now_ns // MS_NS,
            "channel": f"{PREFIX}{channel}",
            "event": "update",
            "result": msgspec.Raw(self._result(channel, language)),
        }
        return Push(
            payload=msgspec.json.encode(frame),
            stream="status",
            market="",
            parameter=channel,
            facts=(self._facts(channel, language),),
        )

    def _result(self, channel: str, language: str) -> bytes:
        kind, article = self._latest[channel]
        result: dict[str, object] = {
            "lang": language,
            "origin_url": _address(article),
            "title": _title(kind, article, language),
            "brief": f"{_title(kind, article, language)}\r\n\r\n\u2013 Gate",
            "published_at": article.published_s,
        }
        if channel == ALL:
            result["type"] = kind
        return msgspec.json.encode(result)

    def _facts(self, channel: str, language: str) -> Facts:
        """Return what the row of the latest announcement says, for the truth."""
        kind, article = self._latest[channel]
        return {
            "kind": "announcement",
            "state": channel,
            "title": _title(kind, article, language),
            "url": _address(article),
            "publisher": "gate",
            "starts_at": None,
            "ends_at": None,
            "ts_event": article.published_s * SECOND_NS,
            "payload": self._result(channel, language).decode(),
        }


def _address(article: Article) -> str:
    return f"https://www.gate.com/article/{article.number}"


def _title(kind: str, article: Article, language: str) -> str:
    title = TYPES[kind].replace("TOKEN", f"T{article.number}")
    return title if language == "en" else f"\u516c\u544a\uff1a{title}"
