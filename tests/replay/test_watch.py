"""A watched book is crossed exactly when the plain order book says so."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from recorder.continuity import ID_MAX
from recorder.model import Chain, DepthUpdate
from recorder.replay import watch as module
from recorder.replay.book import OrderBook
from recorder.replay.holding import UPDATE_BYTES, Holding
from recorder.replay.watch import BookWatch, Crossing
from recorder.store.batch import build
from recorder.store.tables import TABLES


DEPTH = TABLES["depth"]


def event(first, last, bids=(), asks=(), *, market="BTC_USDT", origin="live"):
    """An update; a snapshot if it has no first id."""
    return DepthUpdate(
        market=market,
        stream="depth:100ms",
        ts_event=None,
        is_snapshot=first is None,
        first_update_id=None if first == "bare" else first,
        last_update_id=last,
        bids=tuple((float(price), float(amount)) for price, amount in bids),
        asks=tuple((float(price), float(amount)) for price, amount in asks),
        origin=origin,
    )


def batch(*events, conn="run.0", start=1) -> pa.RecordBatch:
    rows = [
        (start + n, conn if e.origin == "live" else "run.rest", n, 0, e, None)
        for n, e in enumerate(events)
    ]
    return build(DEPTH, rows).batch


def crossing(ts_recv, last, market="BTC_USDT"):
    return Crossing(Chain(market, "depth:100ms"), ts_recv, last)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    module.warm_up()


# The whole of it, against the plain order book

LEVELS = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from((0, 0, 1, 2))), max_size=3
)


@st.composite
def messages(draw):
    """Messages of one chain: updates in order and not, snapshots, breaks."""
    said, last = [], draw(st.integers(0, 3))
    for _ in range(draw(st.integers(1, 40))):
        kind = draw(st.sampled_from("uuuuuuugosrribeca"))
        bids = [(p, a) for p, a in draw(LEVELS) if p <= 4]
        asks = [(p, a) for p, a in draw(LEVELS) if p >= 3]
        width = draw(st.integers(0, 2))
        if kind in "ugo":
            first = last + {"u": 1, "g": 3, "o": -1}[kind]
            first = max(first, 0)
            said.append(event(first, first + width, bids, asks))
            last = max(last, first + width)
        elif kind == "s":
            said.append(event(max(last - 1, 0), last, bids, asks))
        elif kind in "ri":
            base = max(last + draw(st.integers(-3, 1)), 0)
            origin = "rest" if kind == "r" else "live"
            said.append(event(None, base, bids, asks, origin=origin))
            last = max(last, base) if kind == "i" else last
        elif kind == "b":
            last = draw(st.none() | st.integers(last, last + 2)) or last
            said.append(event("bare", draw(st.sampled_from((None, last))), bids, asks))
        elif kind == "e":
            said.append(event(None, None, bids, asks))
        elif kind == "a":
            said.append(event(None, last, bids, asks, origin="audit"))
        else:
            said.append("break")
    return said


def seen_plainly(rows, breaks):
    """Return the crossings that the plain order book counts, row by row."""
    books, found = {}, []
    breaks = list(breaks)
    for ts_recv, _, _, _, said, _ in rows:
        book = books.setdefault(said.market, OrderBook())
        for told in [told for told in breaks if told[0] == said.market]:
            if told[1] < ts_recv:
                book.lost()
                breaks.remove(told)
        before = book.crossings
        book.apply(said)
        if book.crossings > before:
            found.append(crossing(ts_recv, said.last_update_id, said.market))
    return found


@settings(max_examples=100, deadline=None)
@given(
    chains=st.lists(messages(), min_size=1, max_size=2),
    cuts=st.lists(st.integers(0, 80), max_size=4),
)
def test_crossings_are_those_of_the_plain_order_book(chains, cuts):
    rows, breaks = [], []
    for place in range(max(map(len, chains))):
        for number, said in enumerate(chains):
            market = f"M{number}"
            if place >= len(said):
                continue
            if said[place] == "break":
                breaks.append((market, len(rows)))
                continue
            # What connection a row came over, a book with ids does not ask.
            conn = f"run.{place % 2}" if said[place].origin == "live" else "rest"
            moved = DepthUpdate(**{**_fields(said[place]), "market": market})
            rows.append((len(rows) + 1, conn, len(rows), 0, moved, None))
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    watch, found = BookWatch(), []
    for market, ts_recv in breaks:
        watch.lost(Chain(market, "depth:100ms"), ts_recv)

    for start, end in pairwise(edges):
        found += watch.see(build(DEPTH, rows[start:end]).batch)

    assert found == seen_plainly(rows, breaks)


def _fields(said):
    return {name: getattr(said, name) for name in said.__struct_fields__}


# Single cases


def test_nothing_to_see_is_nothing_found():
    watch = BookWatch()

    assert watch.see(batch()) == []
    assert watch.see(batch(event(None, 5, [(9, 1)], [(3, 1)], origin="audit"))) == []


def test_what_came_beside_another_run_is_watched():
    """No replay applies it, but who received it goes on from it."""
    watch = BookWatch()
    rows = [
        event(None, 5, [(1, 1)], [(3, 1)], origin="beside"),
        event(6, 6, [(2, 1)], origin="beside"),
        event(7, 7, [(3, 1)]),
    ]
    said = [(n, "run.0", n, 0, e, None) for n, e in enumerate(rows, 1)]

    assert watch.see(build(DEPTH, said).batch) == [crossing(3, 7)]


def test_an_update_that_crosses_a_known_book_is_found_once():
    watch = BookWatch()
    known = event(None, 10, [(1, 1)], [(3, 1)], origin="rest")

    found = watch.see(
        batch(known, event(11, 11, [(3, 1)]), event(12, 12, [(4, 1)]), start=70)
    )

    assert found == [crossing(71, 11)]


def test_a_snapshot_that_is_crossed_itself_is_found():
    watch = BookWatch()

    assert watch.see(batch(event(None, 7, [(3, 1)], [(3, 1)]))) == [crossing(1, 7)]


def test_images_that_follow_each_other_are_watched_one_by_one():
    watch = BookWatch()

    found = watch.see(
        batch(
            event(None, 1, [(1, 1), (2, 1)], [(3, 1)]),
            event(None, 4, [(1, 1)], [(2, 1)]),
            event(None, 5, [(1, 1), (2, 1)], [(2, 1)]),
            event(None, 3, [(9, 1)], [(2, 1)]),
            event(None, 6, [(1, 1)], [(2, 1)]),
            event(7, 7, [(2, 1)]),
        )
    )

    assert found == [crossing(3, 5), crossing(6, 7)]


def test_a_held_update_that_crosses_is_found_at_the_snapshot():
    watch = BookWatch()
    held = event(5, 6, [(4, 1)])
    image = event(None, 5, [(1, 1)], [(3, 1)], origin="rest")

    assert watch.see(batch(held)) == []
    assert watch.see(batch(image, start=9)) == [crossing(9, 5)]


def test_a_stream_without_ids_is_watched_from_image_to_image():
    watch = BookWatch()

    found = watch.see(
        batch(
            event(None, None, [(1, 1)], [(3, 1)]),
            event("bare", None, [(3, 1)]),
            event("bare", None, [(4, 1)]),
            event(None, None, [(1, 1)], [(3, 1)]),
            event("bare", None, [], [(1, 1)]),
        )
    )

    assert found == [crossing(2, None), crossing(5, None)]


def test_a_book_of_which_messages_may_be_missing_is_not_known():
    watch = BookWatch()
    watch.see(batch(event(None, 10, [(1, 1)], [(3, 1)])))
    watch.lost(Chain("BTC_USDT", "depth:100ms"), 1)
    # Only a snapshot helps it now, or the update that comes next.
    rest = event("bare", None, [(3, 1)]), event(12, 12, [(3, 1)])

    assert watch.see(batch(*rest, start=5)) == []


def test_a_book_goes_on_over_connections_that_take_each_other_over():
    watch = BookWatch()
    watch.see(batch(event(None, 10, [(1, 1)], [(3, 1)])))
    watch.lost(Chain("BTC_USDT", "depth:100ms"), 1)

    watch.see(batch(event(11, 11, [(2, 1)]), conn="run.1", start=5))
    found = watch.see(batch(event(12, 12, [(3, 1)]), conn="run.2", start=6))

    assert found == [crossing(6, 12)]


def test_updates_held_before_an_update_that_bridges_them_are_forgotten():
    watch = BookWatch()
    watch.see(
        batch(
            event(None, 10, [(1, 1)], [(5, 1)]),
            event(15, 16, [(4, 1)]),
            event(11, 18, [(2, 1)]),
        )
    )

    found = watch.see(batch(event(None, None, [(1, 1)], [(3, 1)]), start=9))

    assert found == []


def test_any_number_of_chains_is_watched():
    watch = BookWatch()
    names = [f"M{number}" for number in range(200)]
    images = [event(None, 1, [(1, 1)], [(3, 1)], market=name) for name in names]
    for at in range(0, 200, 50):
        watch.see(batch(*images[at : at + 50], start=1 + at))

    crossed = [event(2, 2, [(3, 1)], market=name) for name in names[::7]]
    found = watch.see(batch(*crossed, start=1_000))

    assert found == [crossing(1_000 + n, 2, name) for n, name in enumerate(names[::7])]


@pytest.fixture
def forgetful(monkeypatch):
    """A watch with room for three updates of one level, of all chains."""
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 3 * (UPDATE_BYTES + 16))
    return BookWatch()


def test_a_crossing_among_what_was_held_is_found_though_it_is_over():
    watch = BookWatch()
    watch.see(
        batch(event(2, 2, [(8, 1)]), event(3, 3, [(9, 1)]), event(4, 4, [(9, 0)]))
    )

    snapshot = event(None, 2, [(8, 1)], [(9, 1)], origin="rest")
    found = watch.see(batch(snapshot, start=9))

    assert found == [crossing(9, 2)]


def test_updates_beyond_what_can_be_held_are_forgotten(forgetful):
    held = [event(n, n, [(4, 1)]) for n in range(1, 6)]

    forgetful.see(batch(*held))
    image = event(None, 4, [(1, 1)], [(3, 1)], origin="rest")
    found = forgetful.see(batch(image, start=9))

    # What is held begins anew with update 5, which crosses the snapshot.
    assert found == [crossing(9, 4)]
    assert forgetful._holding.bytes == 0


def test_a_snapshot_too_old_for_what_is_still_held_is_refused(forgetful):
    forgetful.see(batch(*(event(n, n, [(4, 1)]) for n in range(1, 6))))

    old = event(None, 2, [(1, 1)], [(3, 1)], origin="rest")

    assert forgetful.see(batch(old, start=9)) == []
    assert [held.last for held in forgetful._holding.take(0)] == [5]


def test_of_many_chains_the_one_that_holds_the_most_forgets(forgetful):
    many = [event(n, n, [(4, 1)], market="MANY") for n in range(1, 4)]
    few = event(1, 1, [(4, 1)], market="FEW")
    images = [
        event(None, 1, [(1, 1)], [(3, 1)], market="MANY", origin="rest"),
        event(None, 0, [(1, 1)], [(3, 1)], market="FEW", origin="rest"),
    ]

    forgetful.see(batch(*many, few))
    # As if nothing of MANY had ever come: the snapshot is not crossed.
    found = forgetful.see(batch(*images, start=9))

    assert found == [crossing(10, 0, "FEW")]


def true_book(mid):
    """The levels of a market around a price; never crossed."""
    return {mid - 1, mid - 2}, {mid + 1, mid + 2}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_watch_that_forgets_never_gives_a_false_alarm(data):
    """A market that is never crossed, of which updates are lost on the way."""
    mid, last, said = 50, 0, {"A": [], "B": []}
    for market, rows in said.items():
        snapshots = []
        for _ in range(data.draw(st.integers(1, 40))):
            last += 1
            moved = mid + data.draw(st.integers(-3, 3))
            sides = []
            for old, new in zip(true_book(mid), true_book(moved), strict=True):
                gone = [(price, 0) for price in old - new]
                sides.append([*gone, *((price, 1) for price in new)])
            mid = moved
            kind = data.draw(st.sampled_from("uuuuuuulss"))
            if kind != "l":
                rows.append(event(last, last, *sides, market=market))
            if kind == "s":  # a snapshot, which comes some updates later
                asked = (last, mid, len(rows) + data.draw(st.integers(0, 6)))
                snapshots.append(asked)
            while snapshots and snapshots[0][2] <= len(rows):
                base, then, _ = snapshots.pop(0)
                bids, asks = ([(p, 1) for p in side] for side in true_book(then))
                rows.append(event(None, base, bids, asks, market=market, origin="rest"))
    order = data.draw(st.permutations([m for m, rows in said.items() for _ in rows]))
    rows = [said[market].pop(0) for market in order]
    watch = BookWatch()
    watch._holding = Holding(data.draw(st.integers(0, 8)) * (UPDATE_BYTES + 128))
    cut = data.draw(st.integers(0, len(rows)))

    found = watch.see(batch(*rows[:cut])) + watch.see(batch(*rows[cut:], start=999))

    assert found == []


def test_a_thousand_chains_that_wait_for_snapshots_stay_within_the_budget(monkeypatch):
    monkeypatch.setattr(module, "HELD_BYTES_MAX", 1 << 20)
    watch = BookWatch()
    levels = [(price, 1) for price in range(1, 21)]

    for number in range(1, 11):
        rows = [
            event(number, number, levels, market=f"M{chain}") for chain in range(1_000)
        ]
        watch.see(batch(*rows, start=number * 1_000))

    parts = [held for n in range(1_000) for held in watch._holding.take(n)]
    arrays = [part for held in parts for part in (*held.bids, *held.asks)]
    assert 0 < sum(array.nbytes for array in arrays) < 1 << 20
    assert all(array.base is None for array in arrays)  # none keeps a batch alive


# Numbered anew


def renumbered():
    """A book known through 100, of which the ids start over at 5."""
    return [
        event(None, 100, [(10, 1)], [(12, 1)], origin="rest"),
        event(101, 101, [(9, 1)]),
        event(5, 5, [(1, 1)]),
        event(None, 5, [(1, 1)], [(3, 1)], origin="rest"),
        event(6, 6, [(3, 1)]),
    ]


def test_a_chain_that_is_numbered_anew_is_watched_from_its_next_snapshot_on():
    told, untold = BookWatch(), BookWatch()

    told.counted_anew(Chain("BTC_USDT", "depth:100ms"), 2)

    assert told.see(batch(*renumbered())) == [crossing(5, 6)]
    # The watch cannot find it out by itself: so it has to be told.
    assert untold.see(batch(*renumbered())) == []


def test_the_rows_until_then_are_watched_as_they_were_numbered():
    watch = BookWatch()
    rows = renumbered()
    rows[1] = event(101, 101, [(12, 1)])

    watch.counted_anew(Chain("BTC_USDT", "depth:100ms"), 2)

    assert watch.see(batch(*rows)) == [crossing(2, 101), crossing(5, 6)]


def test_a_break_waits_for_the_rows_that_follow_it():
    watch = BookWatch()
    rows = renumbered()
    watch.counted_anew(Chain("BTC_USDT", "depth:100ms"), 2)

    watch.see(batch(*rows[:2]))
    watch.see(batch())
    found = watch.see(batch(*rows[2:], start=3))

    assert found == [crossing(5, 6)]


def test_a_break_touches_no_other_chain():
    watch = BookWatch()
    watch.see(batch(event(None, 10, [(1, 1)], [(3, 1)])))
    watch.counted_anew(Chain("NEVER_SEEN", "depth:100ms"), 1)
    watch.counted_anew(Chain("ETH_USDT", "depth:100ms"), 1)
    image = event(None, 1, [(1, 1)], [(3, 1)], market="ETH_USDT")

    found = watch.see(batch(image, event(11, 11, [(3, 1)]), start=5))

    assert found == [crossing(6, 11)]


@pytest.fixture
def narrow(monkeypatch):
    """A watch that holds four prices a side."""
    monkeypatch.setattr(module, "PRICES_MAX", 4)
    return BookWatch()


def test_of_too_many_prices_the_best_are_watched(narrow):
    bids = [(price, 1) for price in (1, 2, 3, 4, 5, 6)]
    asks = [(price, 1) for price in (16, 15, 14, 13, 12, 11)]
    narrow.see(batch(event(None, 1, bids, asks)))
    gone = [(price, 0) for price in (6, 5, 4)]

    assert narrow.see(batch(event(2, 2, gone, [(7, 1)]), start=5)) == []
    assert narrow.see(batch(event(3, 3, [], [(3, 1)]), start=9)) == [crossing(9, 3)]


def test_a_price_farther_than_all_that_fit_takes_no_place(narrow):
    narrow.see(
        batch(
            event(
                None, 1, [(p, 1) for p in (6, 5, 4, 3)], [(p, 1) for p in (7, 8, 9, 10)]
            ),
            event(2, 2, [(1, 1)], [(20, 1)]),
            event(3, 3, [(6, 0), (5, 0), (4, 0)], [(7, 0), (8, 0), (9, 0)]),
        )
    )

    assert narrow.see(batch(event(4, 4, [], [(3, 1)]), start=5)) == [crossing(5, 4)]


def test_a_nearer_price_takes_the_place_of_the_farthest(narrow):
    narrow.see(
        batch(
            event(
                None, 1, [(p, 1) for p in (1, 2, 3, 4)], [(p, 1) for p in (7, 8, 9, 10)]
            ),
            event(2, 2, [(5, 1)], [(6, 1)]),
            event(3, 3, [(p, 0) for p in (2, 3, 4, 5)], [(p, 0) for p in (6, 7, 8, 9)]),
        )
    )

    assert narrow._counts[0].tolist() == [0, 0]


def test_columns_may_come_without_their_dictionaries():
    plain = batch(event(None, 7, [(3, 1)], [(3, 1)]))
    columns = [
        column.dictionary_decode() if isinstance(column, pa.DictionaryArray) else column
        for column in plain.columns
    ]

    found = BookWatch().see(
        pa.RecordBatch.from_arrays(columns, names=plain.schema.names)
    )

    assert found == [crossing(1, 7)]


def test_one_compilation_serves_all_batches():
    watch = BookWatch()
    watch.see(batch(event(None, None), event("bare", None)))
    watch.see(batch(event(None, 1, [(1, 1)]), event(2, 2)))
    watch.see(batch(event(None, 1, [(1, 1)], origin="rest")).slice(0, 1))

    assert len(module.follow_rows.signatures) == 1


def test_a_break_after_the_largest_id_is_followed():
    watch = BookWatch()
    seen = [event(None, ID_MAX - 1, origin="rest"), event(ID_MAX, ID_MAX, [(3, 1)])]
    watch.see(batch(*seen))

    watch.lost(Chain("BTC_USDT", "depth:100ms"), 2)
    anew = [event(None, 7, origin="rest"), event(8, 8, [(3, 1)], [(2, 1)])]

    assert watch.see(batch(*anew, start=9)) == [crossing(10, 8)]
