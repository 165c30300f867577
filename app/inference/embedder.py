"""The embedder's port over any model: tokens are cut in the caller's thread, vectors come through the batcher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.ports import Tokenizer
from app.domain.vectors import Matrix, Vector
from app.inference.batcher import Batcher, Kind, Limits, OnBatch, Prepared, no_stats


class Encoder(Protocol):
    """A model: texts in batches to unit vectors."""

    @property
    def fingerprint(self) -> str:
        """Names model, revision and pooling; not the numeric path."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that decides what fits the window."""
        ...

    @property
    def lanes(self) -> int:
        """How many batches of passages it computes at once."""
        ...

    @property
    def question_lane(self) -> bool:
        """Whether it computes a batch of questions beside those."""
        ...

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """The texts as `encode` takes them; runs in the caller's thread."""
        ...

    def encode(self, kind: Kind, batch: Sequence[Prepared]) -> Matrix:
        """Unit vectors in the order given."""
        ...

    def close(self) -> None:
        """Give back memory; nothing is encoded any more."""
        ...


class BatchingEmbedder:
    """Implements `app.domain.ports.Embedder` over an encoder that many callers share."""

    def __init__(self, encoder: Encoder, *, limits: Limits | None = None, on_batch: OnBatch = no_stats) -> None:
        self._encoder = encoder
        self._batcher = Batcher(
            encoder.encode,
            dimensions=encoder.dimensions,
            lanes=encoder.lanes,
            question_lane=encoder.question_lane,
            limits=limits,
            on_batch=on_batch,
        )

    @property
    def encoder(self) -> Encoder:
        """The model itself."""
        return self._encoder

    @property
    def fingerprint(self) -> str:
        """Names model, revision and pooling; not the numeric path."""
        return self._encoder.fingerprint

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._encoder.dimensions

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that decides what fits the window."""
        return self._encoder.tokenizer

    def waiting(self, kind: Kind) -> int:
        """How many texts of this kind wait for a batch."""
        return self._batcher.waiting(kind)

    def embed_passages(self, texts: Sequence[str]) -> Matrix:
        """Vectors of passages, in the order given.

        Raises:
            OverloadedError: too many passages wait.
            DeadlineExceededError: not computed in time.
            TransientError: closed, or the model failed.
        """
        return self._batcher.run(Kind.PASSAGE, self._encoder.prepare(texts))

    def embed_evidence(self, texts: Sequence[str]) -> Matrix:
        """Vectors of short passages that a person waits for; they go before every waiting passage of ingestion.

        Raises as `embed_passages`.
        """
        return self._batcher.run(Kind.EVIDENCE, self._encoder.prepare(texts))

    def embed_query(self, text: str) -> Vector:
        """The vector of a question; goes before every waiting passage. Raises as `embed_passages`."""
        vector: Vector = self._batcher.run(Kind.QUESTION, self._encoder.prepare([text]))[0]
        return vector

    def close(self) -> None:
        """Give back threads and memory; waiting calls fail with a TransientError."""
        self._batcher.close()
        self._encoder.close()
