"""The protocol of the documents, asked by an independent client."""

import json  # noqa: TID251 - the oracle must not share the simulator's decoder

import aiohttp
import pytest

from recorder.simulator.announcements import CHANNELS, LANGUAGES, TYPES
from recorder.simulator.faults import parse
from recorder.simulator.server import Exchange
from recorder.simulator.settings import Settings


LISTING = "announcement.summary_listing"
ALL = "announcement.summary_all"


def exchange_of(*faults: str, **more: object) -> Exchange:
    settings = {"ann_seconds": 0.0, "ann_cached_seconds": 0.0} | more
    return Exchange(
        Settings(
            rate=0.0,
            markets=("A_B",),
            log_frames=True,
            faults=tuple(parse(text) for text in faults),
            **settings,
        )
    )


def url(exchange: Exchange) -> str:
    return exchange.status_urls["gate_announcements"]


async def pushes(client, count: int) -> list[dict[str, object]]:
    return await client.gather(count, lambda f: f["event"] == "update")


def test_there_is_a_channel_for_each_type_that_is_documented():
    assert CHANNELS == (
        "summary_listing",
        "summary_delisting",
        "summary_fee",
        "summary_etf",
        "summary_deposit_withdrawal",
        "summary_rename",
        "summary_precision",
        "summary_engine_upgrade",
        "summary_ipos",
        "summary_all",
    )


async def test_an_announcement_has_the_keys_of_the_documents(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        answer = await client.subscribe(LISTING, "en")
        article = exchange.announcements.announce()
        (push,) = await pushes(client, 1)

    assert answer["result"] == {"status": "success"}
    assert answer["payload"] == ["en"]
    assert (push["channel"], push["time"]) == (LISTING, push["time_ms"] // 1000)
    assert push["result"] == {
        "lang": "en",
        "origin_url": f"https://www.gate.com/article/{article.number}",
        "title": f"Gate will list T{article.number}",
        "brief": push["result"]["brief"],
        "published_at": article.published_s,
    }
    assert "\r\n" in push["result"]["brief"]


async def test_a_channel_carries_what_it_is_about_in_the_languages_asked_for(connect):
    async with exchange_of() as exchange:
        clients = {name: await connect(url(exchange)) for name in CHANNELS}
        for name, client in clients.items():
            await client.subscribe(f"announcement.{name}", *LANGUAGES)
        articles = [exchange.announcements.announce() for _ in range(2 * len(TYPES))]
        told = {}
        for name, client in clients.items():
            kind = name.removeprefix("summary_")
            about = [
                (number, each)
                for number, article in enumerate(articles)
                for each in article.types
                if kind in {"all", each}
            ]
            told[name] = len(about)
            received = await pushes(client, 2 * len(about))
            texts = [json.dumps(f["result"]) for f in received]
            assert len(set(texts)) == len(texts)
            assert [f["result"]["lang"] for f in received] == ["en", "cn"] * len(about)
            types = [f["result"].get("type") for f in received[::2]]
            assert types == [each if kind == "all" else None for _, each in about]
        notices = [n for n in exchange.truth.notices if n.feed == "ann"]

    # Some are of two types, and one type has no channel but that of all.
    assert told["summary_all"] > len(articles)
    assert all(told.values())
    assert len(notices) == 2 * sum(told.values())
    assert {n.option for n in notices} == {"en", "cn"}


async def test_the_truth_says_what_was_pushed(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.subscribe(ALL, "cn")
        for _ in range(8):
            exchange.announcements.announce()
        notices = [
            n
            for n in exchange.truth.notices
            if (n.stream, n.option) == ("status:summary_all", "cn")
        ]
        received = [f["result"] for f in await pushes(client, len(notices))]

    assert [json.loads(n.facts["payload"]) for n in notices] == received
    for notice, result in zip(notices, received, strict=True):
        assert notice.facts["state"] == "summary_all"
        assert notice.facts["title"] == result["title"]
        assert notice.facts["url"] == result["origin_url"]
        assert notice.facts["ts_event"] == result["published_at"] * 10**9


async def test_the_latest_announcement_is_repeated_to_who_subscribes(connect):
    async with exchange_of() as exchange:
        for _ in range(len(TYPES)):
            latest = exchange.announcements.announce()
        client = await connect(url(exchange))
        await client.subscribe(ALL, "en")
        (push,) = await pushes(client, 1)
        await client.subscribe("announcement.summary_fee", "en")
        (fee,) = await pushes(client, 1)

    assert push["result"]["origin_url"].endswith(f"/{latest.number}")
    assert push["result"]["type"] == latest.types[-1]
    assert fee["result"]["title"].startswith("Gate adjusts the fees")


async def test_after_unsubscribing_nothing_comes(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.subscribe(ALL, "en")
        await client.send(channel=ALL, event="unsubscribe", payload=["en"])
        await client.until(lambda f: f["event"] == "unsubscribe")
        exchange.announcements.announce()
        await client.send(channel="announcement.ping", time=1, id=4)
        pong = await client.next()

    assert (pong["channel"], pong["id"], pong["result"]) == (
        "announcement.pong",
        4,
        None,
    )
    assert pong["time"] == pong["time_ms"] // 1000


@pytest.mark.parametrize(
    ("channel", "payload", "code", "words"),
    [
        ("announcement.summary", ["en"], 2, "Unknown channel announcement.summary"),
        ("summary_all", ["en"], 2, "Unknown channel summary_all"),
        (ALL, ["!all"], 2, "invalid argument: payload"),
        (ALL, [], 2, "invalid argument: payload"),
        (ALL, "en", 2, "invalid argument: payload"),
    ],
)
async def test_what_cannot_be_asked_is_refused(connect, channel, payload, code, words):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.send(
            time=1, id=7, channel=channel, event="subscribe", payload=payload
        )
        answer = await client.next()

    assert answer["error"] == {"code": code, "message": words}
    assert answer["result"] == {"status": "fail"}


async def test_requests_of_another_shape_are_refused(connect):
    async with exchange_of() as exchange:
        client = await connect(url(exchange))
        await client.socket.send_str("no JSON, no answer")
        await client.send(channel=ALL, event="listen", payload=["en"])
        unknown = await client.next()
        await client.socket.send_str("[1]")
        invalid = await client.next()

    assert unknown["error"]["message"] == "unknown event: listen"
    assert invalid["error"] == {"code": 1, "message": "invalid request body"}


async def test_announcements_come_by_themselves(connect):
    async with exchange_of(ann_seconds=0.03) as exchange:
        client = await connect(url(exchange))
        await client.subscribe(ALL, "en")

        assert len(await pushes(client, 3)) == 3


async def test_an_idle_connection_is_dropped(connect):
    async with exchange_of(
        idle_unsubscribed_seconds=0.1, idle_subscribed_seconds=0.2
    ) as exchange:
        client = await connect(url(exchange))
        assert await client.ended() == 1006
        client = await connect(url(exchange))
        await client.subscribe(ALL, "en")
        assert await client.ended() == 1006
        assert exchange.counters["idle_closes"] == 2


async def test_faults_can_be_ordered(connect):
    faults = ("ann_handshake_502", "ann_error", "ann_malformed", "ann_duplicate")
    async with exchange_of(*faults) as exchange:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await connect(url(exchange))
        client = await connect(url(exchange))
        refused = await client.subscribe(ALL, "en")
        assert (await client.subscribe(ALL, "en"))["result"] == {"status": "success"}
        exchange.announcements.announce()
        assert await client.next() is None
        exchange.announcements.announce()
        first, second = await pushes(client, 2)
        exchange.order(parse("ann_abort"))
        assert await client.ended() == 1006

        assert refused["error"] == {"code": 3, "message": "internal error"}
        assert first == second
        assert {f.feed for f in exchange.truth.faults} == {"ann"}
        assert [f.name for f in exchange.truth.faults] == [*faults, "ann_abort"]
