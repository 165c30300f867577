"""Who answers a question, and why."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from app.answering import route
from app.domain.answers import Context, Passage, Question
from app.domain.errors import ForbiddenError, InvalidInputError, NotFoundError
from app.domain.models import ModelSpec, Price, Tier
from app.domain.policies import Policy
from tests.services.scripted_models import Catalogue, scripted

SMALL, STANDARD, STRONG = (scripted(tier.value, [], tier=tier) for tier in Tier)
ALL = Catalogue([STRONG, STANDARD, SMALL])
RICH = route.Purse(left_usd=None, prompt_tokens=1000)


def passage(text: str = "The pier is long.", *, cosine: float = 0.6) -> Passage:
    return Passage(
        chunk_id=uuid.uuid4(),
        document_id=uuid.uuid4(),
        version_id=uuid.uuid4(),
        external_id=None,
        title="Pier",
        page=None,
        start=0,
        end=len(text),
        text=text,
        headings=(),
        ordinal=0,
        score=0.5,
        cosine=cosine,
    )


def context(*passages: Passage) -> Context:
    return Context(passages=passages, blocks=(), tokens=10)


def chosen(question: str, *, models: Any = ALL, evidence: Any = None, **parts: Any) -> route.Route:
    policy, purse = parts.pop("policy", Policy()), parts.pop("purse", RICH)
    asked = Question(text=question, **parts)
    return route.choose(models, asked, evidence or context(passage()), policy, purse)


@pytest.mark.parametrize(
    ("question", "tier"),
    [
        ("Who built the pier?", "small"),
        ("Compare the pier with the quay.", "strong"),
        ("What is the average length of the two piers?", "strong"),
        ("Who built the pier, and when did it burn down?", "strong"),
        ("Who built it? And when?", "strong"),
        ("Why did the pier burn down?", "standard"),
        ("How is the pier painted?", "standard"),
    ],
)
def test_the_question_chooses_the_tier(question: str, tier: str) -> None:
    assert chosen(question).models[0].spec.name == tier


def test_a_table_as_evidence_wants_more_than_the_small_model() -> None:
    evidence = context(passage("Year | Revenue | Profit\n2019 | 3 | 1"))
    assert chosen("Who built the pier?", evidence=evidence).models[0].spec.name == "standard"


def test_the_nearest_abler_tier_stands_in_before_a_simpler_one() -> None:
    assert chosen("Why so?", models=Catalogue([SMALL, STRONG])).models[0] is STRONG
    assert [each.spec.name for each in chosen("Compare them.").models] == ["strong", "standard", "small"]


def test_models_of_the_collection_come_first_and_those_of_others_last() -> None:
    own = scripted("own", [], tier=Tier.SMALL, domains=("filings",))
    other = scripted("other", [], tier=Tier.STRONG, domains=("law",))
    found = chosen("Compare them.", models=Catalogue([other, STRONG, own]), collections=["filings"])
    assert [each.spec.name for each in found.models] == ["own", "strong", "other"]


def test_a_model_that_is_not_available_is_asked_last() -> None:
    down = scripted("down", [], tier=Tier.STRONG)
    down.available = False
    assert [each.spec.name for each in chosen("Compare.", models=Catalogue([down, SMALL])).models] == ["small", "down"]


def test_without_models_or_evidence_the_extractive_answerer_answers() -> None:
    assert chosen("Why?", models=Catalogue([])) == route.Route(models=(), reason="no model is configured")
    assert chosen("Why?", policy=Policy(models=())).reason == "the policy allows no model"
    empty = Context(passages=(), blocks=(), tokens=0)
    assert route.choose(ALL, Question(text="Why?"), empty, Policy(), RICH).models == ()
    assert chosen("Why?", evidence=context(passage(cosine=0.05))).models == ()
    assert chosen("Why?", model="extractive").reason == "asked for"
    assert chosen("Why?", policy=Policy(default_model="extractive")).reason == "the policy's default"


def test_a_fact_is_first_looked_for_in_the_documents_own_words() -> None:
    assert chosen("Who built the pier?").try_extractive
    assert not chosen("Who built the pier?", model="small").try_extractive
    assert not chosen("Compare them.").try_extractive


def test_what_the_caller_asks_for_is_first_and_others_stand_behind_it() -> None:
    assert [each.spec.name for each in chosen("Who?", model="strong").models] == ["strong", "small", "standard"]
    with pytest.raises(NotFoundError):
        chosen("Who?", model="other")
    with pytest.raises(ForbiddenError):
        chosen("Who?", model="strong", policy=Policy(models=("small",)))


def test_a_schema_is_for_models_that_can_be_held_to_one() -> None:
    loose = scripted("loose", [], structured=False)
    assert chosen("Who?", models=Catalogue([loose, SMALL]), response_schema={}).models == (SMALL,)
    with pytest.raises(InvalidInputError):
        chosen("Who?", models=Catalogue([loose]), response_schema={})


def spec(**parts: Any) -> ModelSpec:
    return ModelSpec(name="m", provider="p", model="m", **parts)


@pytest.mark.parametrize(
    ("left", "prompt", "parts", "tokens"),
    [
        (None, 1000, {"output_tokens": 500}, 500),
        (None, 8000, {"output_tokens": 500, "context_tokens": 8192}, 192),
        (None, 8190, {"output_tokens": 500, "context_tokens": 8192}, 0),
        (0.0, 1000, {"output_tokens": 500}, 500),  # costs nothing
        (0.0, 1000, {"output_tokens": 500, "price": Price(output_usd=1)}, 0),
        (0.01, 1000, {"output_tokens": 500, "price": Price(input_usd=5, output_usd=50)}, 100),
        (0.01, 1000, {"output_tokens": 500, "price": Price(input_usd=5)}, 500),
        (0.004, 1000, {"output_tokens": 500, "price": Price(input_usd=5)}, 0),
    ],
)
def test_a_purse_bounds_what_a_model_may_write(left: float | None, prompt: int, parts: Any, tokens: int) -> None:
    assert route.Purse(left_usd=left, prompt_tokens=prompt).output_tokens(spec(**parts)) == tokens
