"""The draft of an answer."""

from __future__ import annotations

from app.domain.answers import Context, Draft
from app.domain.ports import Answerer
from app.domain.vectors import Vector


def draft(answerer: Answerer, question: str, vector: Vector | None, context: Context) -> Draft:
    """What the answerer makes of the evidence; nothing, and sure of nothing, where there is none. Raises as it does."""
    if vector is None or not context.passages:
        return Draft(sentences=(), confidence=0.0, candidates=(), model=answerer.name)
    return answerer.draft(question, vector, context)
