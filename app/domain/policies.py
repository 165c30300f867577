"""What a workspace or a collection wants of its answers: policies and templates, each a row of versions that never change."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid


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
