"""An answer that models write: one after the other until one has answered, each sentence validated before it is told."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import datetime as dt
import functools
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from app.answering import generate, prompt, structured, validate
from app.answering.events import Event, Provisional, Reset, Said, Sentences
from app.answering.generate import Written
from app.answering.patience import Patience
from app.answering.route import Purse, Route
from app.answering.taint import Taint
from app.domain.access import Principal
from app.domain.answers import Attempt, Claim, Context, FieldCitation, Notice, Question
from app.domain.errors import (
    InvalidInputError,
    ModelBusyError,
    ModelDownError,
    ModelRefusedError,
    ModelTimeoutError,
    OutputInvalidError,
)
from app.domain.ids import new_id
from app.domain.models import ChatRequest, ModelCall, Purpose
from app.domain.policies import InForce, PersonalData, Unsupported
from app.domain.ports import ChatModel, Checker
from app.text import personal
from app.text.claims import Claimed
from app.text.inert import Stream

T = TypeVar("T")
MODEL_ERRORS = (ModelDownError, ModelTimeoutError, ModelBusyError, ModelRefusedError)
RESERVE_SECONDS = 2.0  # of a caller's patience, that the extractive answerer is left
# Before passages are read ahead, in part and wholly: most models think for longer; one that does not needs the processor itself.
_WARM_AFTER_SECONDS = (0.03, 0.1)
_FEW_ANSWERS = 2  # at once
_DONE = object()
_TEXT_WORDS = 4  # from which on a field of structured output is a text, and not a name or a choice
_LEAST_SECONDS = 0.5  # in which no model is asked
_SHARE = (
    0.6  # of the time that is left, for the first piece of a model that is not the last: who hangs starves no other
)
_SHINGLE = 8  # words in a row of the system message that no answer says by chance


class Compute(Protocol):
    """Runs synchronous work in a thread; see app.api.compute."""

    def __call__(self, step: Callable[[], T], *, admitted: bool) -> Awaitable[T]:
        """What `step` gives. Raises as it does, and OverloadedError."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question with all that a model is told of it."""

    text: str  # as it stands alone
    question: Question
    context: Context
    taint: Taint
    rules: InForce
    turns: Sequence[prompt.PromptTurn]
    summary: str | None
    purse: Purse


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A call, for the books."""

    written: Written
    purpose: Purpose

    def call(self, principal: Principal, answer_id: uuid.UUID | None, now: dt.datetime) -> ModelCall:
        """As the books have it."""
        return ModelCall(
            id=new_id(),
            workspace_id=principal.workspace_id,
            key_id=principal.key_id,
            answer_id=answer_id,
            model=self.written.model.spec.name,
            purpose=self.purpose,
            outcome=self.written.outcome,
            usage=self.written.usage,
            cost_usd=self.written.cost_usd,
            first_token_ms=self.written.first_token_ms,
            total_ms=self.written.total_ms,
            created_at=now,
        )


class Writing:
    """One question's way through the models of its route."""

    def __init__(
        self,
        asked: Asked,
        route: Route,
        checks: tuple[validate.Verifier, Checker],
        patience: Patience,
        compute: Compute,
        spent: list[Spent],
    ) -> None:
        """Take the question, the route, what verifies and what checks, who waits, and the list that calls are put on."""
        self._asked = asked
        self._route = route
        self._verifier, self._checker = checks
        self._patience = patience
        self._compute = compute
        self._taint = asked.taint
        self._told = False
        self._behind = 0  # models that may still be asked after this one
        self._template_failed = False
        self._left_usd = asked.purse.left_usd
        self.attempts: list[Attempt] = []
        self.spent = spent
        self.by: ChatModel | None = None  # who has answered
        self.validate_ms = 0.0
        self.output: Any = None
        self.fields: tuple[FieldCitation, ...] = ()
        self._uncited: list[str] = []  # fields that no source holds
        self._new_answer()

    @property
    def template(self) -> str:
        """The template that the model was asked with, as answers name it."""
        return prompt.DEFAULT.label if self._template_failed else self._asked.rules.template.label

    @property
    def verifier(self) -> validate.Verifier:
        """Of what was answered."""
        return self._verifier

    def _new_answer(self) -> None:
        self._verifier = self._verifier.again()
        self._validator = validate.Validator(
            self._verifier, self._checker, self._asked.rules, self._asked.context.passages, self._taint
        )
        self._invented = 0
        self._cut = False

    async def events(self) -> AsyncGenerator[Event, None]:
        """All of the answer, by the first model that gives one; nothing where none does: then `by` is None.

        Raises:
            OutputInvalidError: `response_schema` is not met.
            ModelDownError, ModelTimeoutError, ModelBusyError, ModelRefusedError: with a schema, of the last model.
        """
        warming = asyncio.ensure_future(self._warmed())
        try:
            async with contextlib.aclosing(self._by_each()) as events:
                async for event in events:
                    yield event
        finally:
            warming.cancel()
            await asyncio.gather(warming, return_exceptions=True)

    async def _warmed(self) -> None:
        """Let the checker read the passages while the model does; not before the model has been asked."""
        for wholly, after_seconds in zip((False, True), _WARM_AFTER_SECONDS, strict=True):
            await asyncio.sleep(after_seconds)
            steps = self._checker.warm(self._asked.context.passages, wholly=wholly)
            while not wholly or self._idle:
                if await self._compute(functools.partial(next, steps, _DONE), admitted=True) is _DONE:
                    break

    @property
    def _idle(self) -> bool:
        """Whether so few answers are being written that there is a core to spare."""
        return sum(each.state.in_flight for each in self._route.models) <= _FEW_ANSWERS

    async def _by_each(self) -> AsyncGenerator[Event, None]:
        last: Exception | None = None
        for place, model in enumerate(self._route.models):
            self._behind = sum(each.state.available for each in self._route.models[place + 1 :])
            if self._seconds < _LEAST_SECONDS:
                self._missed(model, "no_time")
                continue
            try:
                async with contextlib.aclosing(self._by(model)) as events:
                    async for event in events:
                        self._told = True
                        yield event
            except MODEL_ERRORS as error:
                last = error
                if not self.attempts or self.attempts[-1].model != model.spec.name:
                    self._missed(model, error.code)  # refused before it was called
                if self._told:
                    yield Reset(reason=error.code)
                    self._told = False
                self._new_answer()
                continue
            self.by = model
            return
        if self._asked.question.response_schema is not None:
            raise last or ModelDownError("no model could be asked in the time there was")

    async def _by(self, model: ChatModel) -> AsyncGenerator[Event, None]:
        schema = self._asked.question.response_schema
        if schema is not None:
            await self._structured(model, schema)
            return
        said: list[Said] = []
        async with contextlib.aclosing(self._said(model, Purpose.ANSWER, ())) as events:
            async for event in events:
                said += event.said if isinstance(event, Sentences) else ()
                yield event
        wrong = tuple(self._validator.unsupported)
        if wrong and self._asked.rules.policy.unsupported is Unsupported.RETRY and self._seconds >= _LEAST_SECONDS:
            async with contextlib.aclosing(self._corrected(model, wrong, said)) as events:
                async for event in events:
                    yield event

    async def _corrected(
        self, model: ChatModel, wrong: Sequence[str], said: Sequence[Said]
    ) -> AsyncGenerator[Event, None]:
        """The answer once more; where nothing of it holds, what held of the first one stands."""
        first = self._verifier, self._validator
        yield Reset(reason="correction")
        self._new_answer()
        try:
            async with contextlib.aclosing(self._said(model, Purpose.CORRECTION, wrong)) as events:
                async for event in events:
                    yield event
        except MODEL_ERRORS:
            if not said:
                raise
            if self._verifier.sentences:
                yield Reset(reason="correction")
                self._new_answer()
        if said and not self._verifier.sentences:
            self._verifier, self._validator = first
            yield Sentences(said=tuple(said), known_at=time.perf_counter())

    async def _said(
        self, model: ChatModel, purpose: Purpose, corrections: Sequence[str]
    ) -> AsyncGenerator[Event, None]:
        """What one call says: pieces as they come, sentences as they hold."""
        request = await self._compute(lambda: self._request(model, corrections), admitted=True)
        written = Written(model=model, request=request)
        provisional = self._deltas(request)
        self.spent.append(Spent(written=written, purpose=purpose))
        try:
            pieces = generate.pieces(written, deadline_seconds=self._seconds, begin_seconds=self._share)
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    if piece.voids:  # what was told was no answer but a thought
                        yield Reset(reason="thoughts")
                        self._new_answer()
                        provisional = self._deltas(request)
                    if provisional is not None and (text := provisional.feed(piece)):
                        yield Provisional(text=text)
                    if piece.ended and (said := await self._validated(piece.ended)):
                        yield Sentences(said=tuple(said), known_at=time.perf_counter())
                    if self._validator.shortened:  # the rest would only be paid for
                        written.outcome = "ok"
                        break
        finally:
            self._note(written)
        self._cut = written.finished is not None and written.finished.reason == "length"

    def _deltas(self, request: ChatRequest) -> _Deltas | None:
        return _Deltas(request, withheld=bool(self._taint)) if self._asked.question.deltas else None

    async def _validated(self, ended: Sequence[Claimed]) -> list[Said]:
        start = time.perf_counter()
        claims = [each for each in map(self._claim, ended) if each is not None]
        said = await self._compute(lambda: self._validator.add(claims), admitted=True) if claims else []
        self.validate_ms += (time.perf_counter() - start) * 1000
        return said

    def _claim(self, claimed: Claimed) -> Claim | None:
        if claimed.text.strip(" .*\"'-").casefold() == prompt.NO_ANSWER.casefold():
            return None
        known = len(self._asked.context.passages)
        cited = tuple(number - 1 for number in claimed.marks if 1 <= number <= known)
        self._invented += len(claimed.marks) - len(cited)
        return Claim(text=claimed.text, cited=cited)

    async def _structured(self, model: ChatModel, schema: Mapping[str, Any]) -> None:
        """Output that meets the schema, after so many repairs; its fields are looked for in the sources."""
        request = await self._compute(lambda: self._request(model, ()), admitted=True)
        wrong: str | None = None
        for repair in range(structured.REPAIRS + 1):
            if repair and self._seconds < _LEAST_SECONDS:
                break
            written = Written(model=model, request=request)
            self.spent.append(Spent(written=written, purpose=Purpose.REPAIR if repair else Purpose.ANSWER))
            try:
                await generate.whole(written, deadline_seconds=self._seconds, begin_seconds=self._share)
            finally:
                self._note(written)
            parse = functools.partial(structured.parsed, written.text, schema)
            output, wrong = await self._compute(parse, admitted=True)
            if wrong is None:
                output, wrong = await self._compute(functools.partial(self._sourced, output, schema), admitted=True)
            if wrong is None:
                self.output = output
                return
            request = structured.repaired(request, written.text, wrong)
        raise OutputInvalidError(
            f"the output of {model.spec.name} does not meet response_schema after {structured.REPAIRS} repairs: "
            f"{structured.briefly(wrong or '')}"
        )

    def _sourced(self, output: Any, schema: Mapping[str, Any]) -> tuple[Any, str | None]:
        """The output as it may be told, its fields' places kept; or what is wrong with it.

        Texts that no source says are emptied: a model can be made to write anything into them.
        """
        hides = self._asked.rules.policy.personal_data
        masked = structured.hidden(output, personal.masked)
        numbers = structured.numbers_called(output) if hides is not PersonalData.ALLOW else None
        if numbers or (hides is PersonalData.REFUSE and masked != output):
            return None, f"{numbers or 'the whole'}: it holds personal data, which may not be told"
        output = output if hides is PersonalData.ALLOW else masked
        self._new_answer()
        found: list[FieldCitation] = []
        self._uncited, texts = [], []
        for pointer, names, value in structured.leaves(output):
            if (said := self._validator.field(names, value)) is not None:
                cited = tuple(each.n for each in said.citations)
                found.append(FieldCitation(path=pointer, citations=cited, support=said.sentence.support))
                continue
            self._uncited.append(pointer)
            if len(value.split()) >= _TEXT_WORDS:
                texts.append(pointer)
        if texts and (output := structured.emptied(output, texts, schema)) is None:
            return None, f"{texts[0]}: no source says this; leave it empty or say what a source says"
        self.fields = tuple(found)
        return output, None

    def _request(self, model: ChatModel, corrections: Sequence[str]) -> ChatRequest:
        asked = self._asked
        hides = asked.rules.policy.personal_data is not PersonalData.ALLOW
        mask: Callable[[str], str] = personal.masked if hides else str
        render = functools.partial(
            prompt.render,
            policy=asked.rules.policy,
            question=mask(asked.text),
            sources=[
                dataclasses.replace(
                    prompt.source_of(each),
                    title=mask(each.title),
                    headings=tuple(map(mask, each.headings)),
                    text=mask(each.text),
                )
                for each in asked.context.passages
            ],
            turns=[prompt.PromptTurn(asked=mask(each.asked), answered=mask(each.answered)) for each in asked.turns],
            summary=None if asked.summary is None else mask(asked.summary),
            structured=asked.question.response_schema is not None,
            corrections=corrections,
        )
        try:
            messages = render(asked.rules.template)
        except InvalidInputError:  # it was checked when it was set, and yet it makes far too much of these sources
            messages, self._template_failed = render(prompt.DEFAULT), True
        purse = dataclasses.replace(asked.purse, left_usd=self._left_usd)
        most = purse.output_tokens(model.spec)
        if not most:
            raise ModelRefusedError(f"{model.spec.name} is too dear for what is left of the budget", code="budget")
        return ChatRequest(messages=messages, max_tokens=most, json_schema=asked.question.response_schema)

    def _note(self, written: Written) -> None:
        """What a call cost, and how it went."""
        if self._left_usd is not None:
            self._left_usd = max(0.0, self._left_usd - written.cost_usd)
        self.attempts.append(
            Attempt(
                model=written.model.spec.name,
                outcome=written.outcome,
                total_ms=written.total_ms,
                first_token_ms=written.first_token_ms,
            )
        )

    def _missed(self, model: ChatModel, outcome: str) -> None:
        self.attempts.append(Attempt(model=model.spec.name, outcome=outcome, total_ms=0.0))

    @property
    def _seconds(self) -> float:
        return self._patience.left_seconds - RESERVE_SECONDS

    @property
    def _share(self) -> float | None:
        """Of that, what one call may be silent for at its begin while others stand behind it; None without them."""
        return self._seconds * _SHARE if self._behind else None

    def notices(self) -> tuple[Notice, ...]:
        """What the asker should know of how this answer was written."""
        checked = self._validator
        removed = len(checked.unsupported) - checked.flagged
        said = [
            (removed, "unsupported_removed", f"{removed} sentences were left out: no source says what they said"),
            (checked.flagged, "unsupported", f"{checked.flagged} sentences stand on no source: they carry no footnote"),
            (
                self._invented,
                "invented_sources",
                f"{self._invented} footnotes to sources that do not exist were left out",
            ),
            (
                bool(self._uncited),
                "uncited_fields",
                f"no source holds these fields as they stand: {', '.join(self._uncited)[:300]}",
            ),
            (checked.corrected, "citations_corrected", f"the sources of {checked.corrected} sentences were put right"),
            (checked.personal, "personal_data", f"{checked.personal} sentences held personal data"),
            (checked.refused, "refused_topic", f"{checked.refused} sentences spoke of what is not answered here"),
            (checked.shortened, "shortened", "the answer was longer than the policy allows"),
            (
                self._template_failed,
                "template_unusable",
                "the policy's template does not render: the default one was used",
            ),
            (self._cut, "cut_off", "the model reached its output limit: the answer may lack its end"),
            (
                bool(self._asked.question.deltas and self._taint),
                "deltas_withheld",
                "the sources hold orders to a model: only validated sentences were told",
            ),
        ]
        return tuple(Notice(code=code, message=message) for there, code, message in said if there)


class _Deltas:
    """The raw text as it may be shown: inert, and no more of it once it says what the system message says."""

    def __init__(self, request: ChatRequest, *, withheld: bool) -> None:
        system = [each.text for each in request.messages if each.role == "system"]
        words = " ".join(system).casefold().split()
        self._secret = {tuple(words[at : at + _SHINGLE]) for at in range(len(words) - _SHINGLE + 1)}
        self._stream = Stream(read=prompt.readable)
        self._last: collections.deque[str] = collections.deque(maxlen=_SHINGLE)
        self._withheld = withheld

    def feed(self, piece: generate.Piece) -> str:
        """What of a piece may be told now."""
        if self._withheld:
            return ""
        shown = self._stream.feed(piece.text) if piece.text or piece.voids else self._stream.end()
        for word in shown.casefold().split():  # the stream gives whole words
            self._last.append(word)
            if tuple(self._last) in self._secret:
                self._withheld = True
                return ""
        return shown
