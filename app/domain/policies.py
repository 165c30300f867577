"""What a workspace or a collection wants of its answers: policies and templates, each a row of versions that never change."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Unsupported(enum.StrEnum):
    """What becomes of a sentence that the sources do not support."""

    REMOVE = "remove"
    FLAG = "flag"  # it stays, with the warning `unsupported` and no citation
    RETRY = "retry"  # the model is told once what did not hold; what still does not is removed


class PersonalData(enum.StrEnum):
    """What becomes of personal data in questions that go to a model, and in answers."""

    ALLOW = "allow"
    MASK = "mask"
    REFUSE = "refuse"


class OutputFormat(enum.StrEnum):
    """The form of an answer's text."""

    TEXT = "text"
    LIST = "list"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The rules of answers; these defaults are those of a workspace that has set none."""

    role: str = ""  # who the model is to be, in a sentence or two; empty: the template's own words
    tone: str = ""  # as `plain`, `formal`
    language: str | None = None  # BCP 47 of the answer; None: the question's
    models: tuple[str, ...] | None = None  # names that may be asked; None: all; (): none, extractive answers alone
    default_model: str | None = None  # where the caller names none; None: as the rules choose; `extractive` is one too
    template: str = "default"  # its name
    citations_required: bool = True  # False: sentences without a source may stay, flagged, as Unsupported.FLAG
    minimum_support: float | None = None  # [0, 1]; None: the checker's own threshold
    unsupported: Unsupported = Unsupported.REMOVE
    refused_topics: tuple[str, ...] = ()  # words or phrases; a question that speaks of one is refused
    max_answer_chars: int | None = None
    personal_data: PersonalData = PersonalData.ALLOW
    output_format: OutputFormat = OutputFormat.TEXT
    max_cost_usd: float | None = None  # of one request
    daily_cost_usd: float | None = None  # of the workspace; past it the extractive answerer answers

    def allows(self, model: str) -> bool:
        """Whether a model of this name may be asked."""
        return self.models is None or model in self.models


DEFAULTS = Policy()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PolicyVersion:
    """A policy as it was set at one time; the one with the greatest number is in force."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    collection_id: uuid.UUID | None  # None: of the whole workspace
    number: int  # 1-based, for each workspace or collection
    policy: Policy
    note: str  # why, in the words of who set it
    created_at: dt.datetime
    key_id: uuid.UUID | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TemplateVersion:
    """A prompt template as it was set at one time; the one with the greatest number of its name is in force."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    name: str
    number: int  # 1-based; 0 is the one that comes with the product
    system: str  # Jinja2; nothing in it may depend on the question, so that a provider's cache of it holds
    user: str  # Jinja2
    note: str
    created_at: dt.datetime
    key_id: uuid.UUID | None

    @property
    def label(self) -> str:
        """As answers name it."""
        return f"{self.name}@{self.number}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What holds for one question."""

    policy: Policy
    label: str | None  # as `workspace@3`, or `workspace@3, handbook@2`; None where none is set
    template: TemplateVersion
    own_threshold_too: bool = True  # whether the checker's own threshold binds beside `policy.minimum_support`

    def threshold(self, own: float) -> float:
        """The support below which a sentence counts as unsupported, where the checker's own threshold is `own`."""
        if self.policy.minimum_support is None:
            return own
        return max(own, self.policy.minimum_support) if self.own_threshold_too else self.policy.minimum_support


def merged(workspace: Policy | None, collections: Sequence[Policy | None]) -> Policy:
    """The strictest of the policies of a workspace and of those of its collections that a question is asked of.

    Limits: the narrowest. Manners (role, tone, language, default model, template, output format): those of the only
    collection that sets one, else the workspace's.

    Args:
        workspace: None where it has set none.
        collections: None for each that has set none: the workspace's holds for it, else the defaults.
    """
    parts = _parts(workspace, collections)
    models = _common([each.models for each in parts if each.models is not None])
    default_model = _only(workspace, collections, "default_model")
    if models is not None and default_model not in (None, "extractive", *models):
        default_model = None
    return Policy(
        role=_only(workspace, collections, "role"),
        tone=_only(workspace, collections, "tone"),
        language=_only(workspace, collections, "language"),
        models=models,
        default_model=default_model,
        template=_only(workspace, collections, "template"),
        citations_required=any(each.citations_required for each in parts),
        minimum_support=max((each.minimum_support for each in parts if each.minimum_support is not None), default=None),
        unsupported=max((each.unsupported for each in parts), key=_UNSUPPORTED.index),
        refused_topics=tuple(dict.fromkeys(topic for each in parts for topic in each.refused_topics)),
        max_answer_chars=_least([each.max_answer_chars for each in parts]),
        personal_data=max((each.personal_data for each in parts), key=_PERSONAL_DATA.index),
        output_format=_only(workspace, collections, "output_format"),
        max_cost_usd=_least([each.max_cost_usd for each in parts]),
        daily_cost_usd=_least([each.daily_cost_usd for each in parts]),
    )


def holds_own_threshold(workspace: Policy | None, collections: Sequence[Policy | None]) -> bool:
    """Whether one of the policies that `merged` merges leaves the least support to the checker."""
    return any(each.minimum_support is None for each in _parts(workspace, collections))


# From the mildest on. What a retry does not mend is removed: it is no milder than removing, and asked for on purpose.
_UNSUPPORTED = (Unsupported.FLAG, Unsupported.REMOVE, Unsupported.RETRY)
_PERSONAL_DATA = (PersonalData.ALLOW, PersonalData.MASK, PersonalData.REFUSE)


def _parts(workspace: Policy | None, collections: Sequence[Policy | None]) -> list[Policy]:
    parts = [each for each in (workspace, *collections) if each is not None]
    if workspace is None and (not collections or any(each is None for each in collections)):
        parts.append(DEFAULTS)
    return parts


def _common(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...] | None:
    if not lists:
        return None
    return tuple(dict.fromkeys(name for name in lists[0] if all(name in each for each in lists)))


def _least(values: Sequence[T | None]) -> T | None:
    return min((each for each in values if each is not None), default=None)  # type: ignore[type-var]  # numbers


def _only(workspace: Policy | None, collections: Sequence[Policy | None], name: str) -> Any:
    """The one value that collections set; the workspace's where none does, or several differ."""
    default = getattr(DEFAULTS, name)
    said = {getattr(each, name) for each in collections if each is not None} - {default}
    if len(said) == 1:
        return said.pop()
    return getattr(workspace or DEFAULTS, name)
