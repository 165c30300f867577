"""Who answers a question, and why: what the caller asks for, then the policy, the question, the evidence and the budget."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from app.domain.answers import Context, Question
from app.domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from app.domain.models import ModelSpec, Tier, Usage
from app.domain.policies import Policy
from app.domain.ports import ChatModel, Models
from app.text import words

EXTRACTIVE = "extractive"
_LEAST_OUTPUT_TOKENS = 64  # a model that may not say so much is not asked
_WEAK_COSINE = 0.12  # of the best passage: below it the documents speak of something else
_LONG_WORDS = 30
_COMPARISON = re.compile(
    r"\b(?:compar\w+|versus|vs\.?|differ\w*|difference|than|similar\w*|both|either|respectively|contrast\w*)\b",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(
    r"\b(?:sum|total of|average|mean of|ratio|percent(?:age)? (?:change|increase|decrease|of)|growth rate|how much more"
    r"|how many more|how much less|how many fewer|add(?:ed)? up|altogether|combined|calculate|compute|per (?:share|year|unit))\b",
    re.IGNORECASE,
)
_PARTS = re.compile(r"\?(?=.*\?)|;|\b(?:and|as well as) (?:who|what|when|where|why|how|which)\b", re.IGNORECASE)
_REASONS = re.compile(
    r"\b(?:why|explain|summari[sz]e|describe|discuss|how (?:do|does|did|can|is|are|was|were))\b", re.IGNORECASE
)
_TABLE_ROW = re.compile(r"\S \| \S")
_TIERS = tuple(Tier)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Who is asked, one after the other, until one has answered; behind the last stands the extractive answerer."""

    models: tuple[ChatModel, ...]  # none: the extractive answerer
    reason: str
    try_extractive: bool = False  # whether its answer is taken first, where it is sure enough


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """What may be spent on one question."""

    left_usd: float | None  # None: no limit
    prompt_tokens: int  # about how many the prompt has

    def output_tokens(self, spec: ModelSpec) -> int:
        """How much a model may write for that; 0 where it is too dear, or its window too small."""
        most = min(spec.output_tokens, spec.context_tokens - self.prompt_tokens)
        if self.left_usd is not None and (spec.price.input_usd or spec.price.output_usd):
            rest = self.left_usd - spec.price.of(Usage(prompt_tokens=self.prompt_tokens))
            each = spec.price.of(Usage(completion_tokens=1))
            most = int(min(most, rest / each)) if each else (most if rest >= 0 else 0)
        return most if most >= min(_LEAST_OUTPUT_TOKENS, spec.output_tokens) else 0


def choose(models: Models, question: Question, context: Context, policy: Policy, purse: Purse) -> Route:
    """The route of a question.

    Raises:
        NotFoundError: the caller asks for a model that is not in the catalogue.
        ForbiddenError: the policy does not allow it.
        InvalidInputError: `response_schema` where no model can be held to one.
    """
    wanted = question.model or policy.default_model
    asked = "asked for" if question.model else "the policy's default"
    if question.model is not None:
        _require_allowed(models, question.model, policy)
    structured = question.response_schema is not None
    able = [each for each in models.all() if _may(each.spec, policy, structured=structured)]
    if wanted == EXTRACTIVE:
        if structured:
            raise InvalidInputError(f"response_schema needs a model; `extractive` is {asked}", code="no_model")
        return Route(models=(), reason=asked)
    if not able:
        if structured:
            raise InvalidInputError(
                "response_schema needs a model that can be held to one; none may be asked", code="no_model"
            )
        return Route(
            models=(),
            reason="no model is configured" if not models.all() else "the policy allows no model",
        )
    strongest = max((each.cosine for each in context.passages), default=0.0)
    if not context.passages or (strongest and strongest < _WEAK_COSINE):
        return Route(models=(), reason="the evidence is too weak to ask a model")
    paid = [each for each in able if purse.output_tokens(each.spec)]
    if not paid and structured:
        raise InvalidInputError(
            "response_schema needs a model, and none fits the budget or the window", code="no_model"
        )
    if not paid:
        return Route(models=(), reason="no model fits the budget or the window")
    tier, why = _tier(question.text, context)
    ordered = _ordered(paid, tier, question.collections or ())
    first = next((each for each in ordered if each.spec.name == wanted), None)
    if first is not None:
        return Route(models=(first, *(each for each in ordered if each is not first)), reason=asked)
    simple = tier is Tier.SMALL and not structured
    return Route(models=tuple(ordered), reason=why, try_extractive=simple)


def _require_allowed(models: Models, name: str, policy: Policy) -> None:
    if name == EXTRACTIVE:
        return
    if models.get(name) is None:
        raise NotFoundError(f"no model `{name}`: GET /v1/models lists them", code="model_not_found")
    if not policy.allows(name):
        raise ForbiddenError(f"the policy does not allow the model `{name}`", code="model_not_allowed")


def _may(spec: ModelSpec, policy: Policy, *, structured: bool) -> bool:
    return policy.allows(spec.name) and (spec.structured or not structured)


def _tier(text: str, context: Context) -> tuple[Tier, str]:
    """How able a model the question wants, and why."""
    if _ARITHMETIC.search(text):
        return Tier.STRONG, "the question asks to calculate"
    if _COMPARISON.search(text):
        return Tier.STRONG, "the question compares"
    if _PARTS.search(text):
        return Tier.STRONG, "the question has several parts"
    if any(_TABLE_ROW.search(passage.text) for passage in context.passages[:3]):
        return Tier.STANDARD, "the evidence is a table"
    if len(words.of(text).plain) > _LONG_WORDS or _REASONS.search(text):
        return Tier.STANDARD, "the question wants more than a fact"
    return Tier.SMALL, "the question asks for one fact"


def _ordered(models: Sequence[ChatModel], tier: Tier, collections: Sequence[str]) -> list[ChatModel]:
    """Those that can be called now first, then those of the domain, then by how near the tier is, abler before simpler."""
    wanted = _TIERS.index(tier)

    def rank(place: int) -> tuple[bool, bool, int, int]:
        spec, distance = models[place].spec, _TIERS.index(models[place].spec.tier) - wanted
        elsewhere = bool(spec.domains) and not set(spec.domains) & set(collections)
        of_domain = bool(spec.domains) and not elsewhere
        return not models[place].state.available, elsewhere, -of_domain, 2 * abs(distance) - (distance > 0)

    return [models[place] for place in sorted(range(len(models)), key=lambda place: (*rank(place), place))]
