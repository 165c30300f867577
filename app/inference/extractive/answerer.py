"""Implements the answerer's port without a language model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.domain.answers import Candidate, Context, Draft, Passage
from app.domain.ports import Embedder
from app.domain.vectors import Vector
from app.inference.extractive import candidates, compose, doubts, features, focus, model, units
from app.inference.extractive.candidates import Asked, Sentence
from app.inference.kept_vectors import KeptVectors

NAME = "extractive"


class ExtractiveAnswerer:
    """Chooses one to three sentences of the evidence. Safe to call from several threads."""

    def __init__(self, embedder: Embedder, *, fitted: model.Model | None = None) -> None:
        """Take the embedder that made the evidence's vectors; `fitted` replaces the weights of the package."""
        self._model = fitted or model.load()
        self._embedder = embedder
        self._vectors = KeptVectors(embedder)

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
