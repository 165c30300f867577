"""A question's way to its answer: nine steps, each in its file. We wait on the event loop and compute in threads."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Sequence
from typing import Protocol

from app.answering import (
    context,
    generate,
    guard,
    prompt,
    remember,
    rerank,
    retrieve,
    rewrite,
    route,
    structured,
    validate,
)
from app.answering.allowance import Allowance, Hold
from app.answering.conversations import Recalled, recall
from app.answering.events import Answered, Event, Sentences, Sources
from app.answering.patience import Patience
from app.answering.retrieve import Evidence
from app.answering.search import Search, SearchHit
from app.answering.summarize import Summaries
from app.answering.taint import Taint
from app.answering.writing import MODEL_ERRORS, Asked, Compute, Spent, Writing
from app.domain import filters
from app.domain.access import Principal
from app.domain.answers import (
    Answer,
    AnswerStatus,
    Attempt,
    Context,
    Draft,
    Evidenced,
    Notice,
    Question,
    Trace,
)
from app.domain.errors import ForbiddenError
from app.domain.ids import new_id
from app.domain.models import ModelCall, Purpose, Tier, Usage
from app.domain.policies import InForce, PersonalData
from app.domain.ports import Answerer, ChatModel, Checker, Clock, Models, Reranker, Tokenizer
from app.domain.repositories import Database
from app.text import personal

_SURE = (
    0.9  # confidence of the extractive answerer from which on no model is asked; it is calibrated: docs/decisions/0005
)
_TOKENS_OF_PIECES = 1.25  # tokens of common models for a word piece of the embedder's, from above
_CALLS = 3  # an answer and two repairs or corrections, for which a day's limit must have room
_FRAME_TOKENS = 700  # of a prompt beside sources and turns


class Rules(Protocol):
    """What holds for a question; see app.gateway.policies."""

    def __call__(
        self, principal: Principal, collections: Sequence[str] | None, *, documents: Collection[uuid.UUID] = ()
    ) -> InForce:
        """The strictest of all policies that it touches, those of documents whose words come in by turns too."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A question that may be asked, and what it leans on."""

    principal: Principal
    question: Question
    checked: guard.Checked
    rules: InForce
    recalled: Recalled
    standalone: str
    leant_on: tuple[uuid.UUID, ...]
    left_usd: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Its evidence, and who is to answer."""

    evidence: Evidence
    packed: Context
    purse: route.Purse
    route: route.Route
    taint: Taint  # looked for where a model is to be asked
    extracted: tuple[validate.Verified, Draft] | None  # where the extractive answerer is to answer: it has


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """The use case. Its calls may run beside each other on one event loop."""

    database: Database
    search: Search
    tokenizer: Tokenizer
    reranker: Reranker | None
    extractive: Answerer
    checker: Checker
    models: Models
    in_force: Rules
    clock: Clock
    max_query_chars: int
    context_tokens: int
    summaries: Summaries
    allowance: Allowance
    note: Callable[[ModelCall], None]  # is told of every call of a model

    async def __call__(
        self,
        principal: Callable[[], Principal],
        question: Question,
        patience: Patience,
        compute: Compute,
        *,
        replay_of: uuid.UUID | None = None,
    ) -> AsyncGenerator[Event, None]:
        """Answer from the documents, or say why not; each step is taken when the next event is asked for.

        Args:
            principal: who asks; called in the first thread, and may raise.
            question: what is asked.
            patience: of who waits.
            compute: runs work in a thread.
            replay_of: the answer that this one is to be compared with.

        Raises:
            BadQueryError, NotFoundError, FingerprintMismatchError, TransientError: as the search does.
            AbandonedError, DeadlineExceededError: `patience` has ended.
            InvalidInputError, ForbiddenError, OutputInvalidError: what was asked for of models can't be had.
        """
        taken = _Timings(patience)
        spent: list[Spent] = []
        hold = self.allowance.hold()
        begun, evidence = await compute(lambda: self._begin(principal(), question, taken), admitted=False)
        try:
            if evidence is None and begun.checked.refusal is None:
                begun = await self._alone(begun, spent, patience, taken)
            if begun.checked.refusal is not None:
                answer = self._answer(begun, None, taken, replay_of=replay_of)
                calls = self._calls(begun, answer.id, spent)
                yield await compute(lambda: self._kept(begun, answer, calls, taken), admitted=True)
                return
            if evidence is None:
                evidence = await compute(lambda: self._retrieve(begun, taken), admitted=True)
            yield Sources(hits=evidence.hits)
            decided = await compute(lambda: self._decide(begun, evidence, taken, hold), admitted=True)
            answer = self._answer(begun, decided, taken, replay_of=replay_of)
            writing, extracted = None, decided.extracted
            if extracted is None:
                writing = Writing(
                    self._asked(begun, decided), decided.route, self._checks(begun), patience, compute, spent
                )
                start = time.perf_counter()
                async with contextlib.aclosing(writing.events()) as events:
                    async for event in events:
                        yield event
                taken.add("generate", start, less=writing.validate_ms)
                taken.by_step["validate"] = round(writing.validate_ms, 3)
            if writing is not None and writing.by is not None:
                answer = _written(answer, writing)
            else:
                if extracted is None:
                    extracted = await compute(
                        lambda: self._extract(begun, evidence, decided.packed, taken), admitted=True
                    )
                yield Sentences(said=extracted[0].said, known_at=time.perf_counter())
                answer = _extracted(answer, *extracted, writing, spent)
            calls = self._calls(begun, answer.id, spent)
            verified = extracted[0] if extracted is not None else None
            last = await compute(lambda: self._kept(begun, answer, calls, taken, evidence, verified), admitted=True)
        except BaseException:
            self._book_later(begun, spent, compute, hold)
            raise
        hold.release()
        yield last
        self.summaries.after(begun.recalled, begun.principal, self._small(begun), begun.rules.policy, compute)

    def _begin(self, principal: Principal, question: Question, taken: _Timings) -> tuple[Begun, Evidence | None]:
        """What must hold before anything is looked for; and the evidence, if the question is as it will be."""
        with taken.step("guard"):
            if question.response_schema is not None:
                structured.require_schema(question.response_schema)
            recalled = recall(self.database, principal, question.conversation_id)
            rules = self.in_force(principal, question.collections, documents=recalled.documents)
            if question.deltas and rules.policy.personal_data is not PersonalData.ALLOW:
                message = "the policy hides personal data: unvalidated text (`deltas`) is not told"
                raise ForbiddenError(message, code="deltas_not_allowed")
            checked = guard.check(question.text, max_chars=self.max_query_chars, policy=rules.policy)
            left = self._left_usd(principal, question, rules)
        begun = Begun(
            principal=principal,
            question=question,
            checked=checked,
            rules=rules,
            recalled=recalled,
            standalone=checked.text,
            leant_on=(),
            left_usd=left,
        )
        if checked.refusal is not None:
            return begun, None
        with taken.step("rewrite"):
            alone = rewrite.to_standalone(checked.text, recalled.turns)
            begun = self._standing_alone(begun, alone, rewrite.leant_on(checked.text, alone, recalled.turns))
        waits = begun.checked.refusal is not None or self._rewriter(begun) is not None
        return begun, None if waits else self._retrieve(begun, taken)

    def _standing_alone(self, begun: Begun, alone: str, leant_on: Iterable[uuid.UUID]) -> Begun:
        """The question as it is searched, judged again: it may say more than what was typed."""
        if alone == begun.checked.text:
            return begun
        refusal = guard.refusal(alone, begun.rules.policy)
        checked = dataclasses.replace(begun.checked, refusal=refusal) if refusal is not None else begun.checked
        return dataclasses.replace(begun, checked=checked, standalone=alone, leant_on=tuple(sorted(leant_on)))

    def _left_usd(self, principal: Principal, question: Question, rules: InForce) -> float | None:
        """What this question may cost: the least of the request's own limit, the policy's, and what is left of the day's."""
        limits = [question.max_cost_usd, rules.policy.max_cost_usd]
        if rules.policy.daily_cost_usd is not None:
            limits.append(self.allowance.left_usd(principal.workspace_id, rules.policy.daily_cost_usd))
        return min((each for each in limits if each is not None), default=None)

    async def _alone(self, begun: Begun, spent: list[Spent], patience: Patience, taken: _Timings) -> Begun:
        """The question made to stand alone by the small model, where there is one that can be called; else as it is."""
        small = self._rewriter(begun)
        if small is None:
            return begun
        start = time.perf_counter()
        hides = begun.rules.policy.personal_data is not PersonalData.ALLOW
        request = rewrite.request(begun.checked.text, begun.recalled.turns, mask=personal.masked if hides else str)
        written = generate.Written(model=small, request=request)
        spent.append(Spent(written=written, purpose=Purpose.REWRITE))
        with contextlib.suppress(*MODEL_ERRORS):  # `written` has the code; the rules' question stands
            seconds = min(rewrite.MODEL_SECONDS, patience.left_seconds)
            await generate.whole(written, deadline_seconds=seconds)
        taken.add("rewrite", start)
        if begun.left_usd is not None:
            begun = dataclasses.replace(begun, left_usd=max(0.0, begun.left_usd - written.cost_usd))
        if written.outcome != "ok":
            return begun
        typed, turns = begun.checked.text, begun.recalled.turns
        alone = rewrite.as_said(written.text, typed, turns, max_chars=self.max_query_chars)
        if alone is None or alone == begun.checked.text:
            return begun
        made = self._standing_alone(begun, alone, begun.recalled.documents)
        return begun if made.checked.refusal is not None else made  # what a model made of it is nobody's question

    def _rewriter(self, begun: Begun) -> ChatModel | None:
        """Who is to make the question stand alone, where it may lean on turns before it."""
        leans = bool(begun.recalled.turns) and rewrite.leans(begun.checked.text)
        return self._small(begun) if leans else None

    def _small(self, begun: Begun) -> ChatModel | None:
        """The first small model that may be asked and can be called now."""
        policy = begun.rules.policy
        if begun.question.model == route.EXTRACTIVE or begun.left_usd == 0:
            return None
        may = (each for each in self.models.all() if policy.allows(each.spec.name))
        return next((each for each in may if each.spec.tier is Tier.SMALL and each.state.available), None)

    def _retrieve(self, begun: Begun, taken: _Timings) -> Evidence:
        with taken.step("retrieve"):
            asked = dataclasses.replace(begun.question, text=begun.standalone)
            return retrieve.evidence(self.search, begun.principal, asked)

    def _decide(self, begun: Begun, evidence: Evidence, taken: _Timings, hold: Hold) -> Decided:
        """What of the evidence is used, and who answers."""
        asked = dataclasses.replace(begun.question, text=begun.standalone)
        with taken.step("rerank"):
            ranked = rerank.order(self.reranker, asked.text, evidence.passages)
        with taken.step("context"):
            packed = context.pack(ranked, tokenizer=self.tokenizer, max_tokens=self.context_tokens)
        with taken.step("route"):
            tokens = int(packed.tokens * _TOKENS_OF_PIECES) + _FRAME_TOKENS
            purse = self._purse(begun, tokens, hold)
            chosen = route.choose(self.models, asked, packed, begun.rules.policy, purse)
        extracted = None
        if not chosen.models or chosen.try_extractive:
            extracted = self._extract(begun, evidence, packed, taken)
            confidence = extracted[1].confidence
            if chosen.models and confidence >= _SURE and extracted[0].sentences:
                reason = f"the documents' own words say it ({confidence:.2f})"
                chosen = dataclasses.replace(chosen, models=(), reason=reason)
            elif chosen.models:
                extracted = None
        if not chosen.models:
            hold.release()
        taint = Taint(() if extracted is not None else packed.passages)
        return Decided(evidence=evidence, packed=packed, purse=purse, route=chosen, taint=taint, extracted=extracted)

    def _purse(self, begun: Begun, prompt_tokens: int, hold: Hold) -> route.Purse:
        """What may be spent on the answer; of a day's limit so much is held that others at once can't spend it too."""
        daily = begun.rules.policy.daily_cost_usd
        if daily is None or begun.left_usd is None:
            return route.Purse(left_usd=begun.left_usd, prompt_tokens=prompt_tokens)
        policy = begun.rules.policy
        dearest = max(
            (
                each.spec.price.of(Usage(prompt_tokens=prompt_tokens, completion_tokens=each.spec.output_tokens))
                for each in self.models.all()
                if policy.allows(each.spec.name)
            ),
            default=0.0,
        )
        held = hold.take(begun.principal.workspace_id, daily, min(begun.left_usd, _CALLS * dearest))
        return route.Purse(left_usd=held, prompt_tokens=prompt_tokens)

    def _asked(self, begun: Begun, decided: Decided) -> Asked:
        return Asked(
            text=begun.standalone,
            question=begun.question,
            context=decided.packed,
            taint=decided.taint,
            rules=begun.rules,
            turns=[prompt.PromptTurn(asked=each.typed, answered=each.answer) for each in begun.recalled.turns],
            summary=begun.recalled.summary.text if begun.recalled.summary else None,
            purse=decided.purse,
        )

    def _checks(self, begun: Begun) -> tuple[validate.Verifier, Checker]:
        return validate.Verifier(self.database, begun.principal, begun.question), self.checker

    def _extract(
        self, begun: Begun, evidence: Evidence, packed: Context, taken: _Timings
    ) -> tuple[validate.Verified, Draft]:
        """The extractive answer."""
        asked = dataclasses.replace(begun.question, text=begun.standalone)
        with taken.step("generate"):
            drafted = generate.draft(self.extractive, asked.text, evidence.vector, packed)
            sure = drafted.confidence >= self.extractive.threshold
            offered = drafted if sure else dataclasses.replace(drafted, sentences=())
        with taken.step("validate"):
            chunk_ids = [passage.chunk_id for passage in evidence.passages]
            verified = validate.verify(self.database, begun.principal, asked, offered, chunk_ids, begun.rules.policy)
        return verified, drafted

    def _kept(
        self,
        begun: Begun,
        answer: Answer,
        calls: Sequence[ModelCall],
        taken: _Timings,
        evidence: Evidence | None = None,
        verified: validate.Verified | None = None,
    ) -> Answered:
        """The last event, after the row was written."""
        for call in calls:
            self.note(call)
        with taken.step("remember"):
            kept = remember.keep(self.database, taken.of(answer), calls)
        said = kept.sentences or kept.trace.output is not None
        if answer.status is AnswerStatus.ANSWERED and not said:
            kept = dataclasses.replace(kept, status=AnswerStatus.NO_ANSWER)
        nearest: tuple[SearchHit, ...] = ()
        if kept.status is AnswerStatus.NO_ANSWER and evidence is not None:
            readable = verified.readable if verified is not None else self._readable(begun, evidence)
            nearest = tuple(hit for hit in evidence.hits if hit.hit.chunk_id in readable)
        candidates = verified.candidates if verified is not None and begun.question.explain else ()
        return Answered(answer=taken.of(kept), nearest=nearest, candidates=candidates)

    def _readable(self, begun: Begun, evidence: Evidence) -> Collection[uuid.UUID]:
        """What of the evidence may be shown in this moment: a model that says nothing has looked at none of it."""
        verifier, _ = self._checks(begun)
        return verifier.look([each.chunk_id for each in evidence.passages])

    def _calls(self, begun: Begun, answer_id: uuid.UUID | None, spent: Sequence[Spent]) -> list[ModelCall]:
        now = self.clock.now()
        return [each.call(begun.principal, answer_id, now) for each in spent]

    def _book_later(self, begun: Begun, spent: Sequence[Spent], compute: Compute, hold: Hold) -> None:
        """Calls that were paid for though no answer came of them; whoever asked may be gone, so nobody waits."""
        calls = self._calls(begun, None, spent)
        if not calls:
            hold.release()
            return

        def book() -> None:
            try:
                remember.book(self.database, calls)
            finally:
                hold.release()

        self.summaries.background(compute(book, admitted=True))
        for call in calls:
            self.note(call)

    def _answer(
        self, begun: Begun, decided: Decided | None, taken: _Timings, *, replay_of: uuid.UUID | None = None
    ) -> Answer:
        """An answer that says nothing yet."""
        refusal = () if begun.checked.refusal is None else (begun.checked.refusal,)
        rewritten = begun.standalone != begun.checked.text
        return Answer(
            id=new_id(),
            workspace_id=begun.principal.workspace_id,
            key_id=begun.principal.key_id,
            user=begun.principal.user,
            question=begun.checked.for_model,
            conversation_id=begun.question.conversation_id,
            status=AnswerStatus.REFUSED if refusal else AnswerStatus.NO_ANSWER,
            text="",
            sentences=(),
            citations=(),
            confidence=0.0,
            route=route.EXTRACTIVE,
            model=self.extractive.name,
            degraded=False,
            timings_ms=taken.by_step,
            warnings=(*refusal, *begun.checked.notices, *(_marked(decided.packed) if decided else ())),
            created_at=self.clock.now(),
            standalone=guard.for_model(begun.standalone, begun.rules.policy) if rewritten else None,
            leant_on=begun.leant_on if rewritten else (),
            trace=_trace(begun, decided, replay_of),
        )


def _trace(begun: Begun, decided: Decided | None, replay_of: uuid.UUID | None) -> Trace:
    question = begun.question
    evidence = () if decided is None else decided.packed.passages
    return Trace(
        reason="the question was refused" if decided is None else decided.route.reason,
        policy=begun.rules.label,
        evidence=tuple(
            Evidenced(
                document_id=each.document_id, version_id=each.version_id, chunk_id=each.chunk_id, score=each.score
            )
            for each in evidence
        ),
        request={
            "collections": None if question.collections is None else list(question.collections),
            "filter": None if question.filter is None else filters.dumped(question.filter),
            "max_sources": question.max_sources,
            "model": question.model,
            "response_schema": question.response_schema,
        },
        replay_of=replay_of,
    )


def _written(answer: Answer, writing: Writing) -> Answer:
    """The answer as a model gave it."""
    assert writing.by is not None  # noqa: S101 - for the type checker: the caller looked
    spec, verifier = writing.by.spec, writing.verifier
    text, sentences = verifier.text, verifier.sentences
    if writing.output is not None:
        text, sentences = structured.as_text(writing.output), ()
    supports = [each.support for each in (sentences or writing.fields)]
    failed = [each for each in writing.attempts if each.outcome != "ok"]
    trace = dataclasses.replace(
        _spent_on(answer.trace, writing.spent),
        template=writing.template,
        attempts=tuple(writing.attempts),
        output=writing.output,
        fields=writing.fields,
    )
    unsaid = writing.output is not None or any(not each.citations for each in sentences)
    leant_on = {*answer.leant_on, *(each.document_id for each in trace.evidence if unsaid)}
    return dataclasses.replace(
        answer,
        leant_on=tuple(sorted(leant_on)),  # what carries no citation may be of any of them
        status=AnswerStatus.ANSWERED if sentences or writing.output is not None else AnswerStatus.NO_ANSWER,
        text=text,
        sentences=sentences,
        citations=verifier.citations,
        confidence=min(supports, default=0.0),
        route=spec.tier.value,
        model=spec.name,
        warnings=(*answer.warnings, *writing.notices(), *_fallen(failed, to=spec.name)),
        trace=trace,
    )


def _extracted(
    answer: Answer, verified: validate.Verified, drafted: Draft, writing: Writing | None, spent: Sequence[Spent]
) -> Answer:
    """The answer as the extractive answerer gave it."""
    trace = _spent_on(answer.trace, spent)
    warnings = (*answer.warnings, *_dropped(verified.dropped))
    if writing is not None:
        trace = dataclasses.replace(trace, attempts=tuple(writing.attempts))
        warnings = (*warnings, *_fallen(writing.attempts, to=drafted.model))
    return dataclasses.replace(
        answer,
        status=AnswerStatus.ANSWERED if verified.sentences else AnswerStatus.NO_ANSWER,
        text=verified.text,
        sentences=verified.sentences,
        citations=verified.citations,
        confidence=drafted.confidence,
        model=drafted.model,
        degraded=writing is not None,
        warnings=warnings,
        trace=trace,
    )


def _spent_on(trace: Trace, spent: Sequence[Spent]) -> Trace:
    used = [each.written for each in spent]
    return dataclasses.replace(
        trace,
        prompt_tokens=sum(each.usage.prompt_tokens for each in used),
        completion_tokens=sum(each.usage.completion_tokens for each in used),
        cost_usd=sum(each.cost_usd for each in used),
    )


def _fallen(failed: Sequence[Attempt], *, to: str) -> tuple[Notice, ...]:
    if not failed:
        return ()
    how = ", ".join(f"{each.model}: {each.outcome}" for each in failed)
    return (Notice(code="fallback", message=f"{to} answered in place of others ({how})"),)


def _marked(packed: Context) -> tuple[Notice, ...]:
    """A warning where passages come from documents that were marked when they were read."""
    titles = sorted({each.title for each in packed.passages if each.marks})
    if not titles:
        return ()
    kinds = sorted({mark for each in packed.passages for mark in each.marks})
    said = {"instructions": "orders to a model", "hidden_text": "text that a reader does not see"}
    what = " and ".join(said.get(kind, kind) for kind in kinds)
    return (Notice(code="marked_sources", message=f"sources hold {what}: {'; '.join(titles)[:300]}"),)


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
        self.add(name, start)

    def add(self, name: str, start: float, *, less: float = 0.0) -> None:
        spent = (time.perf_counter() - start) * 1000 - less
        self.by_step[name] = round(self.by_step.get(name, 0.0) + spent, 3)

    def of(self, answer: Answer) -> Answer:
        return dataclasses.replace(answer, timings_ms=dict(self.by_step))
