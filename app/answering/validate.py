"""Nothing unverified leaves: each citation is compared with the stored text, and looked at again whether it may be shown."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterable, Mapping, Sequence

from app.answering.events import Said
from app.answering.taint import Taint
from app.domain import filters
from app.domain.access import Principal
from app.domain.answers import (
    AnswerSentence,
    Candidate,
    Citation,
    Claim,
    Draft,
    Drafted,
    Passage,
    Question,
    Support,
    text_of,
)
from app.domain.policies import InForce, PersonalData, Policy, Unsupported
from app.domain.ports import Checker
from app.domain.repositories import Database, Hit
from app.text import inert, personal, shown, topics

_Place = tuple[uuid.UUID, int, int]  # version, start, end


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What of a draft holds."""

    text: str
    said: tuple[Said, ...]
    sentences: tuple[AnswerSentence, ...]
    citations: tuple[Citation, ...]
    candidates: tuple[Candidate, ...]
    readable: frozenset[uuid.UUID]  # of the chunks that were looked at, those that the caller may still be shown
    dropped: int  # sentences of the draft that did not hold


class Verifier:
    """The sentences of one answer, one after the other. Each stands on stored text, live and readable in that moment."""

    def __init__(self, database: Database, principal: Principal, question: Question) -> None:
        """Take the truth, who asks, and the question, whose filter holds for citations too."""
        self._database = database
        self._principal = principal
        self._question = question
        self._citations: dict[_Place, Citation] = {}
        self._sentences: tuple[AnswerSentence, ...] = ()
        self.text = ""
        self.dropped = 0
        self.readable: set[uuid.UUID] = set()

    def again(self) -> Verifier:
        """One for another answer to the same question."""
        return Verifier(self._database, self._principal, self._question)

    @property
    def sentences(self) -> tuple[AnswerSentence, ...]:
        """Those that hold, placed in `text`."""
        return self._sentences

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Of all sentences, by their numbers."""
        return tuple(self._citations.values())

    def add(self, several: Sequence[Drafted], chunk_ids: Iterable[uuid.UUID] = ()) -> list[Said]:
        """Those of the sentences whose every citation holds.

        Args:
            several: drafted, in reading order.
            chunk_ids: of more evidence that is looked at, in the same unit.
        """
        readable = self.look([*chunk_ids, *(source.passage.chunk_id for each in several for source in each.sources)])
        said: list[Said] = []
        for drafted in several:
            text = shown.line(drafted.text)
            if drafted.sources and text and all(_is_stored(source, readable) for source in drafted.sources):
                said.append(self._cited(drafted, text, readable))
            else:
                self.dropped += 1
        return said

    def look(self, chunk_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Hit]:
        """Those of the chunks that may be shown in this moment."""
        with self._database.read() as work:
            hits = work.chunks.hits(self._principal.workspace_id, sorted({*chunk_ids}))
        readable = {chunk_id: hit for chunk_id, hit in hits.items() if self._may_be_shown(hit)}
        self.readable.update(readable)
        return readable

    def flag(self, text: str, support: float) -> Said:
        """A sentence that stands on nothing, which the policy lets stay."""
        return self._placed(AnswerSentence(text=text, start=0, end=0, citations=(), support=support))

    def _may_be_shown(self, hit: Hit) -> bool:
        condition = self._question.filter
        fits = condition is None or filters.matches(condition, hit.document.metadata)
        return hit.live and self._principal.may_read(hit.document.readers) and fits

    def _cited(self, drafted: Drafted, text: str, readable: Mapping[uuid.UUID, Hit]) -> Said:
        """The sentence, its places numbered by their first mention."""
        numbers: set[int] = set()
        for source in drafted.sources:
            hit = readable[source.passage.chunk_id]
            place = (hit.chunk.version_id, source.start, source.end)
            if place not in self._citations:
                self._citations[place] = _citation(len(self._citations) + 1, source, hit)
            numbers.add(self._citations[place].n)
        cited = tuple(sorted(numbers))
        return self._placed(AnswerSentence(text=text, start=0, end=0, citations=cited, support=drafted.support))

    def _placed(self, sentence: AnswerSentence) -> Said:
        self.text, self._sentences = text_of([*self._sentences, sentence])
        placed = self._sentences[-1]
        citations = tuple(each for each in self._citations.values() if each.n in placed.citations)
        return Said(sentence=placed, citations=citations)


def verify(
    database: Database,
    principal: Principal,
    question: Question,
    draft: Draft,
    chunk_ids: Iterable[uuid.UUID],
    policy: Policy,
) -> Verified:
    """The sentences of a draft whose every citation is the stored text, live and readable in this moment.

    Args:
        database: the truth.
        principal: who asks.
        question: whose filter holds for citations too.
        draft: what a generator made.
        chunk_ids: of all the evidence; looked at again with the citations, in the same unit.
        policy: on personal data and length.
    """
    verifier = Verifier(database, principal, question)
    offered: list[Drafted] = []
    length = 0
    for each in draft.sentences:
        if is_refused(each.text, policy):
            continue
        text = without_personal(inert.unlinked(each.text), policy)
        length += len(text or "") + 1
        if policy.max_answer_chars is not None and length > policy.max_answer_chars + 1:
            break
        if text is not None:
            offered.append(dataclasses.replace(each, text=text))
    said = verifier.add(offered, chunk_ids)
    return Verified(
        text=verifier.text,
        said=tuple(said),
        sentences=verifier.sentences,
        citations=verifier.citations,
        candidates=tuple(each for each in draft.candidates if each.passage.chunk_id in verifier.readable),
        readable=frozenset(verifier.readable),
        dropped=verifier.dropped,
    )


class Validator:
    """The sentences of a model as they come: each is checked against the passages, then verified."""

    def __init__(
        self, verifier: Verifier, checker: Checker, rules: InForce, passages: Sequence[Passage], taint: Taint
    ) -> None:
        """Take what checks, the rules, the passages in the order in which the model was given them, and their orders."""
        self._verifier = verifier
        self._checker = checker
        self._policy = rules.policy
        self._passages = passages
        self._taint = taint
        self._least = rules.threshold(checker.threshold)
        self.unsupported: list[str] = []  # sentences that no source says
        self.flagged = 0
        self.refused = 0  # sentences on a topic that the policy refuses
        self.personal = 0  # sentences that were masked or left out for personal data
        self.corrected = 0  # whose citations were put right
        self.shortened = False  # whether the answer would have been longer than it may be

    def add(self, claims: Sequence[Claim]) -> list[Said]:
        """Those that hold, in order. Raises as the checker does."""
        said: list[Said] = []
        # What may stay though no source says it is shown with its support, and must not be near an order.
        least = 0.0 if self._keeps_unsupported else self._least
        supports = self._checker.check(claims, self._passages, least=least)
        for claim, support in zip(claims, supports, strict=True):
            if self.shortened:
                break
            if is_refused(claim.text, self._policy):
                self.refused += 1
                continue
            text = without_personal(claim.text, self._policy)
            self.personal += text != claim.text
            if text is None:
                continue
            if self._too_long(text):
                self.shortened = True
                break
            if not self._holds(support):
                self.unsupported.append(claim.text)
                if self._keeps_unsupported and not any(map(self._taint.covers, support.sources)):
                    self.flagged += 1
                    said.append(self._verifier.flag(text, support.score))
                continue
            self.corrected += support.corrected
            said += self._verifier.add([Drafted(text=text, sources=support.sources, support=support.score)])
        return said

    def field(self, names: str, value: str) -> Said | None:
        """A field of structured output as a sentence with its places; None where no source holds its value."""
        claim = Claim(text=f"{names}: {value}" if names else value, cited=())
        bare = Claim(text=value, cited=())
        named, alone = self._checker.check([claim, bare], self._passages, least=self._least)
        best = max((named, alone), key=lambda each: each.score)
        if not self._holds(best):
            return None
        said = self._verifier.add([Drafted(text=value, sources=best.sources, support=best.score)])
        return said[0] if said else None

    def _holds(self, support: Support) -> bool:
        """Whether a source says it, and none that orders a model to."""
        enough = support.score >= self._least and bool(support.sources)
        return enough and not any(map(self._taint.covers, support.sources))

    @property
    def _keeps_unsupported(self) -> bool:
        return self._policy.unsupported is Unsupported.FLAG or not self._policy.citations_required

    def _too_long(self, text: str) -> bool:
        most = self._policy.max_answer_chars
        return most is not None and len(self._verifier.text) + 1 + len(text) > most


def is_refused(text: str, policy: Policy) -> bool:
    """Whether a sentence speaks of what the policy does not let be spoken of; the question may not have told."""
    return bool(policy.refused_topics) and topics.first_of(policy.refused_topics, text) is not None


def without_personal(text: str, policy: Policy) -> str | None:
    """The sentence as the policy lets it be; None where it may not be said."""
    if policy.personal_data is PersonalData.ALLOW or not personal.found(text):
        return text
    return personal.masked(text) if policy.personal_data is PersonalData.MASK else None


def _is_stored(source: Candidate, readable: Mapping[uuid.UUID, Hit]) -> bool:
    """Whether the source's text is, character by character, what is stored at its place."""
    hit = readable.get(source.passage.chunk_id)
    if hit is None or not hit.chunk.start <= source.start < source.end <= hit.chunk.end:
        return False
    stored = hit.chunk.text[source.start - hit.chunk.start : source.end - hit.chunk.start]
    return stored == source.text and hit.chunk.version_id == source.passage.version_id


def _citation(number: int, source: Candidate, hit: Hit) -> Citation:
    return Citation(
        n=number,
        document_id=hit.document.id,
        version_id=hit.chunk.version_id,
        chunk_id=hit.chunk_id,
        external_id=hit.document.external_id,
        title=hit.document.title,
        page=hit.chunk.page,
        start=source.start,
        end=source.end,
        quote=source.text,
        score=source.score,
    )
