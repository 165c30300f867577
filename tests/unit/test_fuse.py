from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.answering.fuse import FULL_MARKS, Fused, fuse, unseen
from app.domain.vectors import Scored

VERSION = uuid.UUID(int=1 << 64)
COSINES = st.lists(st.floats(-1, 1), max_size=12)
BM25S = st.lists(st.floats(0, 200), max_size=12)


def ranking(scores: Sequence[float], *, first: int = 1) -> list[Scored]:
    """Hits `first`, `first` + 1, ... with these scores, best first."""
    ordered = sorted(scores, reverse=True)
    return [Scored(chunk_id=chunk(n), score=score) for n, score in enumerate(ordered, first)]


def chunk(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


def ids(fused: Sequence[Fused]) -> list[int]:
    return [each.chunk_id.int for each in fused]


def test_nothing_found_is_nothing_fused() -> None:
    assert fuse([], [], terms=3) == []


@pytest.mark.parametrize("side", ["dense", "sparse"])
def test_one_side_alone_keeps_its_order(side: str) -> None:
    found = ranking([0.9, 0.5, 0.2])
    fused = fuse(found, [], terms=0) if side == "dense" else fuse([], found, terms=4)
    assert ids(fused) == [1, 2, 3]


def test_a_hit_of_both_sides_has_both_ranks_and_both_scores() -> None:
    fused = fuse(ranking([0.6, 0.4]), ranking([9.0, 5.0], first=2), terms=2)
    assert ids(fused) == [2, 1, 3]
    best = fused[0]
    assert (best.dense_rank, best.dense_score, best.sparse_rank, best.sparse_score) == (2, 0.4, 1, 9.0)
    assert (fused[1].sparse_rank, fused[1].sparse_score) == (None, None)


def test_a_mean_of_full_marks_counts_as_much_as_a_cosine_of_one() -> None:
    near, worded = fuse(ranking([1.0]), ranking([3 * FULL_MARKS], first=2), terms=3)
    assert near.score == pytest.approx(worded.score)


def test_words_that_no_chunk_holds_quieten_the_sparse_side() -> None:
    dense, sparse = ranking([0.6, 0.5]), ranking([20.0], first=2)
    assert ids(fuse(dense, sparse, terms=3)) == [2, 1]
    assert ids(fuse(dense, sparse, terms=30)) == [1, 2]


def test_scores_beyond_the_cut_count_and_bring_no_rank() -> None:
    dense, sparse = ranking([0.5, 0.49]), ranking([9.0], first=3)
    assert ids(fuse(dense, sparse, terms=5)) == [1, 2, 3]
    fused = fuse(dense, sparse, terms=5, dense_beyond={chunk(3): 0.4}, sparse_beyond={chunk(2): 8.0})
    assert ids(fused) == [2, 3, 1]
    assert (fused[0].sparse_rank, fused[0].sparse_score) == (None, 8.0)
    assert (fused[1].dense_rank, fused[1].dense_score) == (None, 0.4)


def test_scores_beyond_the_cut_add_no_hit_and_yield_to_the_ranking() -> None:
    known = {chunk(1): 0.9, chunk(7): 0.9}
    assert [
        (each.chunk_id.int, each.dense_score) for each in fuse(ranking([0.1]), [], terms=1, dense_beyond=known)
    ] == [(1, 0.1)]


def test_equal_sums_come_by_chunk_id_whatever_the_order_given() -> None:
    hits = ranking([0.5] * 4)
    for order in itertools.permutations(hits):
        assert ids(fuse(order, [], terms=1)) == [1, 2, 3, 4]


def test_a_chunk_that_comes_twice_is_one_hit_at_its_better_place() -> None:
    twice = [*ranking([0.9, 0.8]), *ranking([0.7])]
    assert [(each.chunk_id.int, each.dense_rank) for each in fuse(twice, [], terms=1)] == [(1, 1), (2, 2)]


def test_a_deeper_look_changes_no_score_of_a_hit_that_both_sides_held() -> None:
    draw = random.Random(4)
    dense, sparse = ranking([draw.random() for _ in range(50)]), ranking([draw.uniform(0, 40) for _ in range(50)])
    shallow = {each.chunk_id: each.score for each in fuse(dense[:20], sparse[:20], terms=6)}
    deep = {each.chunk_id: each.score for each in fuse(dense, sparse, terms=6)}
    assert {chunk_id: deep[chunk_id] for chunk_id in shallow} == shallow


@given(cosines=COSINES, bm25s=BM25S, first=st.integers(1, 12), terms=st.integers(0, 40))
def test_scores_fall_and_stay_between_zero_and_one(
    cosines: list[float], bm25s: list[float], first: int, terms: int
) -> None:
    dense, sparse = ranking(cosines), ranking(bm25s, first=first)
    fused = fuse(dense, sparse, terms=terms)
    scores = [each.score for each in fused]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert set(ids(fused)) == {each.chunk_id.int for each in (*dense, *sparse)}
    assert len(fused) == len(set(ids(fused)))


def test_what_a_cut_between_equal_scores_leaves_out_may_be_as_good_as_its_last() -> None:
    cut, whole = ranking([0.9, 0.5, 0.5]), ranking([0.9, 0.5, 0.4])
    assert unseen(cut, [], terms=1, depth=3) == fuse(cut, [], terms=1)[-1].score
    assert unseen(whole, [], terms=1, depth=3) < 0  # its last is alone: nothing was chosen
    assert unseen(cut, [], terms=1, depth=4) < 0  # all there is
    words = ranking([FULL_MARKS, FULL_MARKS], first=9)
    assert unseen(cut, words, terms=1, depth=3) == pytest.approx(fuse(cut, [], terms=1)[-1].score)
    assert unseen(cut[1:], words, terms=1, depth=2) > fuse(cut, [], terms=1)[0].score
