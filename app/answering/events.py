"""What is told of an answer while it comes about."""

from __future__ import annotations

import dataclasses

from app.answering.search import SearchHit
from app.domain.answers import Answer, AnswerSentence, Candidate, Citation


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The evidence is known."""

    hits: tuple[SearchHit, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Provisional:
    """A piece of what a model writes, before anything of it was validated; told where `deltas` were asked for."""

    text: str  # inert: no links, images or source marks


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A verified sentence."""

    sentence: AnswerSentence
    citations: tuple[Citation, ...]  # those that it names


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """More of what the answer says is known."""

    said: tuple[Said, ...]
    known_at: float  # time.perf_counter() at that moment


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """What was told of this answer since the sources is void: it is written once more."""

    reason: str  # `correction`, or why a model was given up


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The whole answer; the last event."""

    answer: Answer
    nearest: tuple[SearchHit, ...]  # where there is no answer
    candidates: tuple[Candidate, ...]


Event = Sources | Provisional | Sentences | Reset | Answered
