"""A question's way to its answer: nine steps, each in its file."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator

from app.answering import context, generate, guard, remember, rerank, retrieve, rewrite, route, validate
from app.answering.conversations import recall
from app.answering.patience import Patience
from app.answering.retrieve import Evidence
from app.answering.search import Search, SearchHit
from app.domain.access import Principal
from app.domain.answers import Answer, AnswerSentence, AnswerStatus, Candidate, Citation, Notice, Question
from app.domain.ids import new_id
from app.domain.ports import Answerer, Clock, Reranker, Tokenizer
from app.domain.repositories import Database


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The evidence is known."""

    hits: tuple[SearchHit, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A verified sentence."""

    sentence: AnswerSentence
    citations: tuple[Citation, ...]  # those that it names


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """What the answer says is known."""

    said: tuple[Said, ...]
    known_at: float  # time.perf_counter() at that moment


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The whole answer; the last event."""

    answer: Answer
    nearest: tuple[SearchHit, ...]  # where there is no answer
    candidates: tuple[Candidate, ...]


Event = Sources | Sentences | Answered


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The use case; safe to call from many threads."""

    database: Database
    search: Search
    tokenizer: Tokenizer
    reranker: Reranker | None
    extractive: Answerer
    clock: Clock
    max_query_chars: int
    context_tokens: int

    def __call__(self, principal: Principal, question: Question, patience: Patience) -> Iterator[Event]:
        """Answer from the documents, or say why not; each step is taken when the next event is asked for.

        Raises:
            BadQueryError, NotFoundError, FingerprintMismatchError, TransientError: as the search does.
            AbandonedError, DeadlineExceededError: `patience` has ended.
        """
        taken = _Timings(patience)
        with taken.step("guard"):
            checked = guard.check(question.text, max_chars=self.max_query_chars)
        if checked.refusal is not None:
            yield self._refused(principal, question, checked, taken)
            return
        with taken.step("rewrite"):
            turns = recall(self.database, principal, question.conversation_id)
            asked = dataclasses.replace(question, text=rewrite.to_standalone(checked.text, turns))
        with taken.step("retrieve"):
            found = retrieve.evidence(self.search, principal, asked)
        yield Sources(hits=found.hits)
        with taken.step("rerank"):
            ranked = rerank.order(self.reranker, asked.text, found.passages)
        with taken.step("context"):
            packed = context.pack(ranked, tokenizer=self.tokenizer, max_tokens=self.context_tokens)
        with taken.step("route"):
            answerer = route.choose(self.extractive)
        with taken.step("generate"):
            draft = generate.draft(answerer, asked.text, found.vector, packed)
            sure = draft.confidence >= answerer.threshold
            offered = draft if sure else dataclasses.replace(draft, sentences=())
        with taken.step("validate"):
            chunk_ids = [passage.chunk_id for passage in found.passages]
            verified = validate.verify(self.database, principal, asked, offered, chunk_ids)
        yield Sentences(said=_said(verified), known_at=time.perf_counter())
        answer = self._answer(principal, question, checked, taken)
        answer = dataclasses.replace(
            answer,
            standalone=asked.text if asked.text != checked.text else None,
            leant_on=tuple(sorted(rewrite.leant_on(checked.text, asked.text, turns))),
            status=AnswerStatus.ANSWERED if verified.sentences else AnswerStatus.NO_ANSWER,
            text=verified.text,
            sentences=verified.sentences,
            citations=verified.citations,
            confidence=draft.confidence,
            model=draft.model,
            warnings=(*answer.warnings, *_dropped(verified.dropped)),
        )
        yield self._remembered(answer, found, verified, taken, explain=question.explain)

    def _refused(self, principal: Principal, question: Question, checked: guard.Checked, taken: _Timings) -> Answered:
        """The answer to what is no question."""
        answer = self._answer(principal, question, checked, taken)
        with taken.step("remember"):
            answer = remember.keep(self.database, answer)
        return Answered(answer=taken.of(answer), nearest=(), candidates=())

    def _remembered(
        self, answer: Answer, found: Evidence, verified: validate.Verified, taken: _Timings, *, explain: bool
    ) -> Answered:
        """The last event, after the row was written."""
        with taken.step("remember"):
            kept = remember.keep(self.database, taken.of(answer))
        if answer.sentences and not kept.sentences:
            kept = dataclasses.replace(kept, status=AnswerStatus.NO_ANSWER)
        silent = kept.status is AnswerStatus.NO_ANSWER
        return Answered(
            answer=taken.of(kept),
            nearest=tuple(hit for hit in found.hits if hit.hit.chunk_id in verified.readable) if silent else (),
            candidates=verified.candidates if explain else (),
        )

    def _answer(self, principal: Principal, question: Question, checked: guard.Checked, taken: _Timings) -> Answer:
        """An answer that says nothing yet."""
        refusal = () if checked.refusal is None else (checked.refusal,)
        return Answer(
            id=new_id(),
            workspace_id=principal.workspace_id,
            key_id=principal.key_id,
            user=principal.user,
            question=checked.text,
            conversation_id=question.conversation_id,
            status=AnswerStatus.REFUSED if refusal else AnswerStatus.NO_ANSWER,
            text="",
            sentences=(),
            citations=(),
            confidence=0.0,
            route=self.extractive.name,
            model=self.extractive.name,
            degraded=False,
            timings_ms=taken.by_step,
            warnings=(*refusal, *checked.notices),
            created_at=self.clock.now(),
        )


def _said(verified: validate.Verified) -> tuple[Said, ...]:
    return tuple(
        Said(sentence=each, citations=tuple(cited for cited in verified.citations if cited.n in each.citations))
        for each in verified.sentences
    )


def _dropped(number: int) -> tuple[Notice, ...]:
    if not number:
        return ()
    message = f"{number} sentences were left out: their sources changed, or may not be shown any more"
    return (Notice(code="sentences_dropped", message=message),)


class _Timings:
    """Milliseconds by step; before each step somebody must still be waiting."""

    def __init__(self, patience: Patience) -> None:
        self.by_step: dict[str, float] = {}
        self._patience = patience

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        self._patience.require()
        start = time.perf_counter()
        yield
        self.by_step[name] = round((time.perf_counter() - start) * 1000, 3)

    def of(self, answer: Answer) -> Answer:
        return dataclasses.replace(answer, timings_ms=dict(self.by_step))
