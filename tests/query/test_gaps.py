import pytest

from recorder import open_store


@pytest.fixture
def store(maker):
    maker.segment(
        [
            maker.gap(10, "mine", ended_at=maker.noon + 20),
            maker.gap(11, "healed later"),
            maker.gap(12, "still open", reason="resync", scope="book"),
        ]
    )
    maker.journal(
        [maker.gap(30, "healed later", ended_at=maker.noon + 25, healed_by="rest")]
    )
    maker.journal([maker.gap(1, "of another source")], source="gate_v3")
    return open_store(maker.root)


@pytest.mark.parametrize(
    ("offset", "found"),
    [
        (-1, []),
        (0, ["healed later", "mine", "still open"]),
        (19, ["healed later", "mine", "still open"]),
        (20, ["healed later", "still open"]),
        (25, ["still open"]),
    ],
)
def test_an_instant_lies_in_gaps_from_their_start_to_before_their_end(
    store, maker, offset, found
):
    gaps = store.gaps_at("gate_spot", "BTC_USDT", "depth:100ms", maker.noon + offset)

    assert sorted(gap.gap_id for gap in gaps) == found


def test_the_newest_revision_says_what_is_known(store, maker):
    gaps = store.gaps_at("gate_spot", "BTC_USDT", "depth:100ms", maker.noon + 22)

    assert [(gap.gap_id, gap.healed_by) for gap in gaps] == [
        ("healed later", "rest"),
        ("still open", None),
    ]


@pytest.mark.parametrize(
    ("market", "stream"), [("ETH_USDT", "depth:100ms"), ("BTC_USDT", "trades")]
)
def test_gaps_of_other_chains_do_not_count(store, maker, market, stream):
    assert store.gaps_at("gate_spot", market, stream, maker.noon + 12) == ()


def test_a_stream_without_markets_has_gaps_too(maker):
    maker.segment([maker.gap(10, "its own", market=None, stream="status")])
    store = open_store(maker.root)

    (gap,) = store.gaps_at("gate_spot", None, "status", maker.noon + 12)

    assert gap.gap_id == "its own"
    assert store.gaps_at("gate_spot", None, "trades", maker.noon + 12) == ()


def test_a_gap_that_ended_stays_so_though_the_clock_stepped_back(maker):
    maker.segment([maker.gap(30, "stopped")])
    maker.segment([maker.gap(4, "stopped", ended_at=maker.noon + 40)])
    store = open_store(maker.root)

    (gap,) = store.gaps_at("gate_spot", "BTC_USDT", "depth:100ms", maker.noon + 35)
    shown = store.sql("SELECT epoch_ns(ended_at) FROM gaps").fetchall()

    assert gap.ended_at == maker.noon + 40
    assert shown == [(maker.noon + 40,)]
