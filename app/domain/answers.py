"""A question, the evidence for it, and what is answered: the same whoever generates the answer."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.filters import Filter

MAX_SOURCES = 10  # passages that an answer may draw on, where the caller does not say


class AnswerStatus(enum.StrEnum):
    """How a question ended. None of these is an error."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"  # the documents do not say, as far as can be told
    REFUSED = "refused"  # the question may not be asked


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a caller asks."""

    text: str
    collections: Sequence[str] | None = None  # names; None: all of the workspace
    filter: Filter | None = None
    max_sources: int = MAX_SOURCES  # passages that the answer may draw on
    explain: bool = False
    conversation_id: uuid.UUID | None = None
    model: str | None = None  # of the catalogue, or `extractive`; None: as policy and rules choose
    deltas: bool = False  # tell the model's raw text as it comes
    response_schema: Mapping[str, Any] | None = None  # JSON Schema that the output is to meet
    max_cost_usd: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of evidence: a chunk that the caller may read, as it was found."""

    chunk_id: uuid.UUID
    document_id: uuid.UUID
    version_id: uuid.UUID
    external_id: str | None
    title: str
    page: int | None  # 1-based; None for formats without pages
    start: int  # code points of the canonical text, inclusive
    end: int  # exclusive
    text: str  # exactly the canonical text's [start, end)
    headings: tuple[str, ...]
    ordinal: int  # 0-based position among its version's passages
    score: float  # of the search, [0, 1)
    cosine: float  # of question and passage; 0 where it is not known
    marks: tuple[str, ...] = ()  # of its version: `instructions`, `hidden_text`; what it says is quoted only


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Passages that stand side by side in one version, in the order of its text."""

    passages: tuple[Passage, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The evidence that an answer may draw on."""

    passages: tuple[Passage, ...]  # best first
    blocks: tuple[Block, ...]  # the same passages, those with the best one first
    tokens: int  # of all of them, as the embedder counts


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A sentence that was weighed: characters [start, end) of its passage's version."""

    passage: Passage
    start: int
    end: int
    text: str
    score: float  # [0, 1]; over all candidates of a question they add up to 1 at most


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A sentence that a model wrote, without source marks."""

    text: str
    cited: tuple[int, ...]  # places among the passages, 0-based, that it names; those that do not exist left out


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How far the passages say what a claim says."""

    score: float  # [0, 1]
    sources: tuple[Candidate, ...]  # the spans that it stands on, best first; empty where nothing comes near
    corrected: bool  # whether these lie in other passages than those that it cites
    contradicted: tuple[str, ...] = ()  # what of it no span has: numbers, dates, names, units, `negation`


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drafted:
    """A sentence of an answer before it was validated, with the places that it stands on."""

    text: str
    sources: tuple[Candidate, ...]
    support: float  # [0, 1]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a generator makes of question and evidence."""

    sentences: tuple[Drafted, ...]  # in reading order
    confidence: float  # probability that the answer is right, [0, 1]
    candidates: tuple[Candidate, ...]  # best first
    model: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What the asker should know about an answer; `code` is stable."""

    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A verified place in a document."""

    n: int  # 1-based, as the sentences name it
    document_id: uuid.UUID
    version_id: uuid.UUID
    chunk_id: uuid.UUID
    external_id: str | None
    title: str
    page: int | None
    start: int  # code points of the version's canonical text, inclusive
    end: int  # exclusive
    quote: str  # exactly that text
    score: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSentence:
    """A sentence of an answer: characters [start, end) of the answer's text."""

    text: str
    start: int
    end: int
    citations: tuple[int, ...]  # numbers of citations, ascending
    support: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Evidenced:
    """A passage that was given to who answered."""

    document_id: uuid.UUID
    version_id: uuid.UUID
    chunk_id: uuid.UUID
    score: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A model that was asked, and how it went."""

    model: str
    outcome: str  # `ok`, or the error's code
    total_ms: float
    first_token_ms: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FieldCitation:
    """Where a field of structured output comes from."""

    path: str  # JSON Pointer into the output
    citations: tuple[int, ...]
    support: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """How an answer came about."""

    reason: str = ""  # why this route
    template: str | None = None  # `name@number`; None where no model was asked
    policy: str | None = None  # `workspace@number` or `collection-name@number`; None where none is set
    evidence: tuple[Evidenced, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    output: Any = None  # structured output
    fields: tuple[FieldCitation, ...] = ()
    request: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what else was asked for: a replay takes it
    replay_of: uuid.UUID | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a question was answered with."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    key_id: uuid.UUID | None
    user: str | None
    question: str
    status: AnswerStatus
    text: str
    sentences: tuple[AnswerSentence, ...]
    citations: tuple[Citation, ...]
    confidence: float
    route: str
    model: str
    degraded: bool
    timings_ms: Mapping[str, float]
    warnings: tuple[Notice, ...]
    created_at: dt.datetime
    conversation_id: uuid.UUID | None = None
    standalone: str | None = None  # what was searched and answered, where that is another question than the one typed
    leant_on: tuple[uuid.UUID, ...] = ()  # documents that words of `standalone` came from
    trace: Trace = Trace()


def text_of(sentences: Sequence[AnswerSentence]) -> tuple[str, tuple[AnswerSentence, ...]]:
    """The sentences as one text, and each with its place in it; rows of tables and items of lists get lines of their own."""
    text = ""
    placed: list[AnswerSentence] = []
    for sentence in sentences:
        if text:
            text += joint(placed[-1].text, sentence.text)
        placed.append(dataclasses.replace(sentence, start=len(text), end=len(text) + len(sentence.text)))
        text += sentence.text
    return text, tuple(placed)


def joint(before: str, after: str) -> str:
    """What stands between two sentences of an answer."""
    return "\n" if _stands_alone(before) or _stands_alone(after) else " "


def _stands_alone(text: str) -> bool:
    return " | " in text or text.endswith(":") or text[:2] in {"- ", "* ", "+ ", "• ", "‣ ", "◦ ", "▪ "}
