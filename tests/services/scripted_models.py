"""Models that say what a test tells them to: the catalogue's port, without a server."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from app.domain.answers import Candidate, Claim, Passage, Support
from app.domain.models import ChatEvent, ChatRequest, Delta, EndpointState, Finished, ModelSpec, ModelState, Tier, Usage
from app.domain.ports import ChatModel
from app.text import sentences

Script = Sequence[str | float | Exception]  # pieces, seconds to wait, and what is raised


@dataclasses.dataclass
class Scripted:
    """Says the pieces of a script; a new one for each call where there are several."""

    spec: ModelSpec
    says: Callable[[ChatRequest], Script]
    usage: Usage | None = None
    available: bool = True
    asked: list[ChatRequest] = dataclasses.field(default_factory=list)
    open: int = 0  # calls under way
    closed_early: int = 0

    @property
    def state(self) -> ModelState:
        endpoint = EndpointState(
            url=None,
            breaker="closed" if self.available else "open",
            in_flight=self.open,
            calls=0,
            failures=0,
            last_error=None,
        )
        return ModelState(
            available=self.available,
            why_not=None if self.available else "its breaker is open",
            in_flight=self.open,
            waiting=0,
            endpoints=(endpoint,),
        )

    async def stream(self, request: ChatRequest, *, deadline_seconds: float) -> AsyncIterator[ChatEvent]:
        del deadline_seconds
        self.asked.append(request)
        self.open += 1
        whole = False
        try:
            for part in self.says(request):
                if isinstance(part, Exception):
                    raise part
                if isinstance(part, str):
                    yield Delta(text=part)
                else:
                    await asyncio.sleep(part)
            whole = True
            yield Finished(reason="stop", usage=self.usage)
        finally:
            self.open -= 1
            self.closed_early += not whole


@dataclasses.dataclass
class Catalogue:
    """Some models."""

    models: Sequence[ChatModel]

    def all(self) -> Sequence[ChatModel]:
        return self.models

    def get(self, name: str) -> ChatModel | None:
        return next((each for each in self.models if each.spec.name == name), None)


def scripted(
    name: str, *scripts: Script, tier: Tier = Tier.STANDARD, usage: Usage | None = None, **spec: object
) -> Scripted:
    """A model that follows the scripts one after the other, and the last one from then on."""
    left = list(scripts)

    def says(_: ChatRequest) -> Script:
        return left.pop(0) if len(left) > 1 else left[0]

    known = ModelSpec(name=name, provider="openai_compatible", model=name, tier=tier, **spec)  # type: ignore[arg-type]
    return Scripted(spec=known, says=says, usage=usage)


class WordChecker:
    """Supports what stands word by word in a sentence of a passage: the checker's port for tests with vectors that mean nothing."""

    threshold = 0.5

    def warm(self, passages: Sequence[Passage], *, wholly: bool) -> Iterator[None]:
        """See Checker."""
        del passages, wholly
        yield from ()

    def check(self, claims: Sequence[Claim], passages: Sequence[Passage], *, least: float = 0.0) -> list[Support]:
        del least
        return [self._support(claim, passages) for claim in claims]

    def _support(self, claim: Claim, passages: Sequence[Passage]) -> Support:
        wanted = {word.strip(".,:-").casefold() for word in claim.text.split()} - {""}
        order = [*claim.cited, *(place for place in range(len(passages)) if place not in claim.cited)]
        for place in order:
            passage = passages[place]
            for start, end in sentences.spans(passage.text):
                said = passage.text[start:end]
                if wanted <= {word.strip(".,:-").casefold() for word in said.split()}:
                    source = Candidate(
                        passage=passage, start=passage.start + start, end=passage.start + end, text=said, score=1.0
                    )
                    return Support(
                        score=1.0, sources=(source,), corrected=bool(claim.cited) and place not in claim.cited
                    )
        return Support(score=0.0, sources=(), corrected=False)
