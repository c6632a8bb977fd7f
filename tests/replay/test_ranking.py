"""Distinct prices, numbered and ordered."""

import numpy as np
import pytest

from recorder.replay.ranking import Ranking, encode_prices


def test_codes_number_distinct_prices_as_they_come():
    prices = np.array([2.5, 1.0, 2.5, -0.0, 0.0, np.inf])
    codes = np.empty(6, np.int32)
    distinct = np.empty(8, np.uint64)

    done = encode_prices(
        prices.view(np.uint64), codes, np.full(16, -1, np.int32), distinct, 0
    )

    assert done == (6, 4)
    assert codes.tolist() == [0, 1, 0, 2, 2, 3]
    assert distinct[:4].view(np.float64).tolist() == [2.5, 1.0, 0.0, np.inf]


@pytest.mark.parametrize("bad", [np.nan, -np.nan], ids=["nan", "-nan"])
def test_a_price_that_is_not_a_number_stops_the_encoding(bad):
    prices = np.array([1.0, bad])

    done, _ = encode_prices(
        prices.view(np.uint64),
        np.empty(2, np.int32),
        np.full(4, -1, np.int32),
        np.empty(2, np.uint64),
        0,
    )

    assert done == -1


def test_encoding_stops_where_there_is_no_room_and_goes_on_from_there():
    prices = np.array([1.0, 2.0, 1.0, 3.0, 2.0])
    codes = np.full(5, -9, np.int32)
    distinct = np.empty(2, np.uint64)

    done = encode_prices(
        prices.view(np.uint64), codes, np.full(4, -1, np.int32), distinct, 0
    )

    assert done == (3, 2)
    assert codes.tolist() == [0, 1, 0, -9, -9]


def test_both_sides_rank_their_best_price_highest():
    ranking = Ranking()
    codes = ranking.encode([np.array([3.0, 1.0]), np.array([2.0, 3.0])])

    ranks = ranking.ranks()

    assert codes.tolist() == [0, 1, 2, 0]
    assert ranks.bids[codes].tolist() == [2, 0, 1, 2]
    assert ranks.asks[codes].tolist() == [0, 2, 1, 0]
    assert ranks.bid_prices[:3].tolist() == [1.0, 2.0, 3.0]
    assert ranks.ask_prices[:3].tolist() == [3.0, 2.0, 1.0]
    assert np.isnan([ranks.bid_prices[-1], ranks.ask_prices[-1]]).all()
