"""A reranker behind HTTP: POST /rerank as Cohere, Jina and vLLM speak it, or as TEI does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from app.domain.errors import ConfigurationError
from app.inference.remote import RemoteCalls
from app.inference.specs import RerankerSpec


class HttpReranker:
    """Implements `app.domain.ports.Reranker`."""

    def __init__(self, spec: RerankerSpec) -> None:
        """Take what the catalogue says; nothing is called yet.

        Raises:
            ConfigurationError: its key is not set.
        """
        assert spec.remote is not None  # noqa: S101 - for the type checker: `catalogue.reranker` chose
        if spec.remote.unset is not None:
            raise ConfigurationError(f"the reranker {spec.name} can't be used: {spec.remote.unset}")
        self._spec = spec
        self._calls = RemoteCalls(spec.remote, what=f"the reranker {spec.name}")

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One for each text, the larger the better.

        Raises:
            PartDownError: the server can't be reached, fails, or answers what are no scores.
            ModelRefusedError: it does not take the texts.
        """
        size = self._spec.batch_size
        return [
            score
            for start in range(0, len(texts), size)
            for score in self._batch(question, list(texts[start : start + size]))
        ]

    def close(self) -> None:
        """Give the connections back."""
        self._calls.close()

    def _batch(self, question: str, texts: list[str]) -> list[float]:
        if self._spec.form == "tei":
            body: dict[str, Any] = {"query": question, "texts": texts, "truncate": True}
        else:
            body = {"model": self._spec.model, "query": question, "documents": texts, "top_n": len(texts)}
        answer = self._calls.post("/rerank", body)
        try:
            found = answer if self._spec.form == "tei" else answer["results"]
            field = "score" if self._spec.form == "tei" else "relevance_score"
            scores = {int(each["index"]): float(each[field]) for each in found}
        except (KeyError, TypeError, ValueError) as error:
            raise self._calls.nonsense("holds no scores") from error
        if sorted(scores) != list(range(len(texts))) or not all(map(math.isfinite, scores.values())):
            raise self._calls.nonsense(f"does not hold one score for each of {len(texts)} texts")
        return [scores[number] for number in range(len(texts))]
