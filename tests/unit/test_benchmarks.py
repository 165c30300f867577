"""The figures of merit that benchmarks report."""

from __future__ import annotations

import math

import pytest

from benchmarks import metrics


def test_a_perfect_ranking_has_an_ndcg_of_one() -> None:
    assert metrics.ndcg(["a", "b", "c"], {"a": 2, "b": 1}) == 1.0


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    assert metrics.ndcg(["x", "a"], {"a": 1}) == pytest.approx(1 / math.log2(3))


def test_ndcg_weighs_grades() -> None:
    ideal = 2 / math.log2(2) + 1 / math.log2(3)
    swapped = 1 / math.log2(2) + 2 / math.log2(3)
    assert metrics.ndcg(["b", "a"], {"a": 2, "b": 1}) == pytest.approx(swapped / ideal)


def test_what_stands_below_the_depth_gains_nothing() -> None:
    assert metrics.ndcg(["x", "y", "a"], {"a": 1}, depth=2) == 0.0
    assert metrics.recall(["x", "y", "a"], {"a": 1}, depth=2) == 0.0


def test_the_ideal_is_cut_at_the_depth_too() -> None:
    relevance = {f"r{n}": 1 for n in range(20)}
    assert metrics.ndcg([f"r{n}" for n in range(10)], relevance, depth=10) == 1.0


def test_an_id_that_comes_twice_gains_once() -> None:
    assert metrics.ndcg(["a", "a", "b"], {"a": 1, "b": 1}) == 1.0
    assert metrics.recall(["a", "a"], {"a": 1, "b": 1}) == 0.5


def test_a_question_without_relevant_documents_scores_nothing() -> None:
    assert metrics.ndcg(["a"], {}) == 0.0
    assert metrics.recall(["a"], {"a": 0}) == 0.0


def test_recall_is_the_share_of_the_relevant_that_was_found() -> None:
    assert metrics.recall(["a", "x", "b"], {"a": 1, "b": 1, "c": 1, "d": 0}) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50.0), (95, 95.0), (99, 99.0), (100, 100.0), (0.5, 1.0)])
def test_percentiles_are_nearest_ranks(percent: float, expected: float) -> None:
    assert metrics.percentile([float(n) for n in range(100, 0, -1)], percent) == expected


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert metrics.percentile([7.0], 99) == 7.0


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_a_percentile_that_does_not_exist_is_refused(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        metrics.percentile(values, percent)


def test_latencies_are_rounded_and_empty_without_a_measurement() -> None:
    assert metrics.latencies([1.234, 2.0]) == {"p50": 1.23, "p95": 2.0, "p99": 2.0, "max": 2.0}
    assert metrics.latencies([]) == {}


def test_ratios_are_taken_round_by_round() -> None:
    assert metrics.ratios([10.0, 8.0], [2.0, 4.0]) == [5.0, 2.0]
    assert metrics.median([5.0, 2.0]) == 3.5
    assert metrics.median([]) is None


def test_texts_are_compared_apart_from_white_space_and_composition() -> None:
    assert metrics.holds(["one\n two   cafe\u0301 four"], "two caf\u00e9")
    assert not metrics.holds(["one two", "three"], "two three")
