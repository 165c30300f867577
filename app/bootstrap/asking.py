"""The answering use case, joined."""

from __future__ import annotations

from app.answering.answer import Ask
from app.answering.search import Search
from app.answering.summarize import Summaries
from app.bootstrap.parts import Parts
from app.domain.events import Observer
from app.domain.ports import Clock, Models, Reranker
from app.gateway.policies import Policies
from app.inference.extractive.answerer import ExtractiveAnswerer
from app.inference.support.checker import AlignmentChecker
from app.settings import Settings


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
        checker=AlignmentChecker(parts.embedder),
        models=models,
        in_force=policies.in_force,
        clock=clock,
        max_query_chars=settings.max_query_chars,
        context_tokens=settings.context_tokens,
        summaries=Summaries(parts.database, clock, note=observer.model_call),
        note=observer.model_call,
    )
