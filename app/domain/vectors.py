"""What goes into a vector store and what comes back."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from app.domain.filters import Filter, Scalar

Vector = npt.NDArray[np.float32]  # shape (dimensions,), unit length
Matrix = npt.NDArray[np.float32]  # shape (n, dimensions), rows of unit length


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """A sparse vector: term ids and their weights, of equal length, ids distinct."""

    indices: Sequence[int]
    values: Sequence[float]


def ascending(indices: Sequence[int], values: Sequence[float]) -> Sparse:
    """A sparse vector with its ids in ascending order, so that equal ones compare as equal."""
    terms = sorted(zip(indices, values, strict=True))
    return Sparse(indices=tuple(index for index, _ in terms), values=tuple(value for _, value in terms))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One physical vector collection: all indexes with the same dense and sparse encoder share it."""

    name: str
    dimensions: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A chunk as a vector store holds it."""

    chunk_id: uuid.UUID
    index_id: uuid.UUID
    document_id: uuid.UUID
    version_id: uuid.UUID
    scope: Sequence[str]  # `{index_id}/{reader}`, as domain.access.scope gives it
    metadata: Mapping[str, Scalar]
    dense: Vector
    sparse: Sparse


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PointState:
    """What a store says of a point, without its vectors."""

    chunk_id: uuid.UUID
    version_id: uuid.UUID
    scope: frozenset[str]
    metadata: Mapping[str, Scalar]  # whole floats as integers


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredVectors:
    """What a vector store keeps of one chunk."""

    dense: Vector
    sparse: Sparse  # ids ascending


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VectorQuery:
    """One search of one space. Dense, sparse or both."""

    dense: Vector | None
    sparse: Sparse | None
    scope: Sequence[str]  # a point must hold one of these
    excluded_versions: Sequence[uuid.UUID] = ()
    filter: Filter | None = None
    only: Sequence[uuid.UUID] | None = None  # score these, which passed all of the above just now; None: search
    limit: int = 100  # of each ranking
    offset: int = 0  # into each ranking; how a search is refilled


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A chunk and its score on one side."""

    chunk_id: uuid.UUID
    score: float  # dense: cosine in [-1, 1]; sparse: BM25, >= 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rankings:
    """What each side found, best first; empty where the query had no such side."""

    dense: Sequence[Scored]
    sparse: Sequence[Scored]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Vectors of some passages, row by row."""

    dense: Matrix  # shape (n, dimensions)
    sparse: Sequence[Sparse]  # length n

    def rows(self, rows: Sequence[int]) -> Encoded:
        """Some of the rows, in the order given."""
        return Encoded(dense=self.dense[list(rows)], sparse=[self.sparse[row] for row in rows])
