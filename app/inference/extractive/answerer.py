"""Implements the answerer's port without a language model."""

from __future__ import annotations

import collections
import hashlib
import threading
from collections.abc import Sequence

import numpy as np

from app.domain.answers import Candidate, Context, Draft, Passage
from app.domain.ports import Embedder
from app.domain.vectors import Matrix, Vector
from app.inference.extractive import candidates, compose, doubts, features, focus, model, units
from app.inference.extractive.candidates import Asked, Sentence

NAME = "extractive"
_KEPT_VECTORS = 20_000  # of words and sentences: 15 MB in half precision


class ExtractiveAnswerer:
    """Chooses one to three sentences of the evidence. Safe to call from several threads."""

    def __init__(self, embedder: Embedder, *, fitted: model.Model | None = None) -> None:
        """Take the embedder that made the evidence's vectors; `fitted` replaces the weights of the package."""
        self._model = fitted or model.load()
        self._embedder = embedder
        self._vectors = _Vectors(embedder)

    @property
    def name(self) -> str:
        """As answers name it."""
        return NAME

    @property
    def threshold(self) -> float:
        """The confidence below which there is no answer."""
        return self._model.threshold

    def draft(self, question: str, vector: Vector, context: Context) -> Draft:
        """The sentences that answer best, whatever the confidence is. See `app.domain.ports.Answerer`."""
        core = focus.of(question)
        if core != question:
            vector = self._embedder.embed_query(core)
        measured = self.measure(core, vector, context.passages)
        if measured is None:
            return Draft(sentences=(), confidence=0.0, candidates=(), model=NAME)
        asked, pool, rows = measured
        scores = self._model.scores(rows)
        confidence = self._model.probability(model.summary(asked, rows, doubts.gaps(asked, pool), scores))
        share = model.shares(scores)
        ranked = tuple(
            Candidate(
                passage=pool[place].passage,
                start=pool[place].start,
                end=pool[place].end,
                text=pool[place].text,
                score=float(share[place]),
            )
            for place in np.argsort(-scores, kind="stable")
        )
        said = compose.answer(ranked, units.Surroundings(context.blocks))
        return Draft(sentences=said, confidence=confidence, candidates=ranked, model=NAME)

    def measure(
        self, question: str, vector: Vector, passages: Sequence[Passage]
    ) -> tuple[Asked, list[Sentence], features.Features] | None:
        """The question, the sentences that are weighed and their features; None where the evidence has no sentence."""
        found = candidates.split(passages)
        if not found:
            return None
        asked = candidates.weigh(question, found)
        pool = candidates.pool(asked, found)
        said = features.vocabulary(asked, pool)
        vectors = self._vectors.of([*(each.text for each in pool), *said])
        near = features.Nearness(asked, pool, dict(zip(said, vectors[len(pool) :], strict=True)))
        return asked, pool, features.matrix(asked, pool, vector, vectors[: len(pool)], near)


class _Vectors:
    """Vectors of words and sentences, the last used ones kept: neighbouring questions share most of theirs."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self._kept: collections.OrderedDict[bytes, np.ndarray[tuple[int], np.dtype[np.float16]]] = (
            collections.OrderedDict()
        )

    def of(self, texts: Sequence[str]) -> Matrix:
        """In the order given; shape (len(texts), dimensions)."""
        keys = [hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
        rows = np.zeros((len(texts), self._embedder.dimensions), dtype=np.float32)
        missing: dict[bytes, list[int]] = {}
        with self._lock:
            for row, key in enumerate(keys):
                kept = self._kept.get(key)
                if kept is None:
                    missing.setdefault(key, []).append(row)
                else:
                    self._kept.move_to_end(key)
                    rows[row] = kept
        if missing:
            new = self._embedder.embed_evidence([texts[places[0]] for places in missing.values()])
            for made, places in zip(new, missing.values(), strict=True):
                rows[places] = made
            with self._lock:
                self._kept.update((key, made.astype(np.float16)) for key, made in zip(missing, new, strict=True))
                while len(self._kept) > _KEPT_VECTORS:
                    self._kept.popitem(last=False)
        return rows
