"""The answering use case, joined."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from app.answering.allowance import Allowance
from app.answering.answer import Ask
from app.answering.search import Search
from app.answering.summarize import Summaries
from app.bootstrap.parts import Parts
from app.domain.answers import Claim, Passage, Support
from app.domain.events import Observer
from app.domain.ports import Checker, Clock, Embedder, Models, Reranker
from app.gateway.policies import Policies
from app.inference.extractive.answerer import ExtractiveAnswerer
from app.settings import Settings


class _LateChecker:
    """Implements the checker's port by the one that is made when a model's first sentence comes: without models, none is."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    @functools.cached_property
    def _checker(self) -> Checker:
        from app.inference.support.checker import AlignmentChecker  # noqa: PLC0415 - where a model writes

        return AlignmentChecker(self._embedder)

    @property
    def threshold(self) -> float:
        """See Checker."""
        return self._checker.threshold

    def warm(self, passages: Sequence[Passage], *, wholly: bool) -> Iterator[None]:
        """See Checker."""
        yield from self._checker.warm(passages, wholly=wholly)

    def check(self, claims: Sequence[Claim], passages: Sequence[Passage], *, least: float = 0.0) -> list[Support]:
        """See Checker."""
        return self._checker.check(claims, passages, least=least)


def ask_of(
    settings: Settings,
    parts: Parts,
    search: Search,
    policies: Policies,
    models: Models,
    reranker: Reranker | None,
    clock: Clock,
    observer: Observer,
) -> Ask:
    """The use case of one process. Without models it holds and loads nothing for them."""
    return Ask(
        database=parts.database,
        search=search,
        tokenizer=parts.embedder.tokenizer,
        reranker=reranker,
        extractive=ExtractiveAnswerer(parts.embedder),
        checker=_LateChecker(parts.embedder),
        models=models,
        in_force=policies.in_force,
        clock=clock,
        max_query_chars=settings.max_query_chars,
        context_tokens=settings.context_tokens,
        summaries=Summaries(parts.database, clock, note=observer.model_call),
        allowance=Allowance(parts.database, clock),
        note=observer.model_call,
    )
