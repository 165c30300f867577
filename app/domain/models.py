"""Models that write: what is known of each, what it is asked, and what comes back."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

_MILLION = 1_000_000
_MOST_TOKENS = 100_000_000  # of one call; no window is so large


class Tier(enum.StrEnum):
    """How able a model is, and how dear."""

    SMALL = "small"  # rewrites questions, answers simple ones
    STANDARD = "standard"
    STRONG = "strong"  # comparisons, arithmetic, many parts


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call, as the provider counted them; estimated where it does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0  # of the prompt's, those that the provider had read before

    def clamped(self) -> Usage:
        """Counts as they can be: a server may say anything."""
        prompt = min(max(self.prompt_tokens, 0), _MOST_TOKENS)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=min(max(self.completion_tokens, 0), _MOST_TOKENS),
            cached_tokens=min(max(self.cached_tokens, 0), prompt),
        )

    def __add__(self, other: Usage) -> Usage:
        """Of both."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens."""

    input_usd: float = 0.0
    output_usd: float = 0.0
    cached_input_usd: float | None = None  # None: as input

    def of(self, usage: Usage) -> float:
        """What a call cost, US dollars."""
        cached = self.input_usd if self.cached_input_usd is None else self.cached_input_usd
        read = (usage.prompt_tokens - usage.cached_tokens) * self.input_usd + usage.cached_tokens * cached
        return (read + usage.completion_tokens * self.output_usd) / _MILLION


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """One model of the catalogue."""

    name: str  # as callers ask for it
    provider: str  # openai, anthropic, google, azure, bedrock, mistral, deepseek, ollama, llama, ...
    model: str  # the provider's id of it
    tier: Tier = Tier.STANDARD
    domains: tuple[str, ...] = ()  # it is preferred for; empty: any
    context_tokens: int = 8192  # prompt and output together
    output_tokens: int = 1024  # most that it is asked for
    price: Price = Price()
    first_token_seconds: float = 15.0  # longest wait for the first piece
    timeout_seconds: float = 60.0  # longest call
    concurrency: int = 8  # calls at once, over all its endpoints
    queue: int = 16  # calls that may wait for one of these
    structured: bool = True  # whether it can be held to a JSON schema
    local: bool = False  # whether it computes in this process


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class EndpointState:
    """How an endpoint of a model is doing."""

    url: str | None  # None for a provider's own address, and in the process
    breaker: Literal["closed", "open", "half_open"]
    in_flight: int
    calls: int
    failures: int
    last_error: str | None  # a code and a sentence; never a key


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """How a model is doing."""

    available: bool  # whether a call would be made now
    why_not: str | None  # a sentence, where none would be
    in_flight: int
    waiting: int
    endpoints: tuple[EndpointState, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a prompt."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """What a model is asked."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    json_schema: Mapping[str, Any] | None = None  # the output is to be JSON of this schema


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of what the model says."""

    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The model has said all; the last event of a call."""

    reason: Literal["stop", "length", "filtered"]
    usage: Usage | None  # None where the provider did not say
    endpoint: str | None = None  # the URL that answered


ChatEvent = Delta | Finished


class Purpose(enum.StrEnum):
    """What a call was for."""

    ANSWER = "answer"
    CORRECTION = "correction"  # an answer once more, after validation
    REPAIR = "repair"  # of structured output
    REWRITE = "rewrite"
    SUMMARY = "summary"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One call of a model, for the books: it stays when its answer is deleted."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    key_id: uuid.UUID | None
    answer_id: uuid.UUID | None
    model: str  # as the catalogue names it
    purpose: Purpose
    outcome: str  # `ok`, or the error's code
    usage: Usage
    cost_usd: float
    first_token_ms: float | None
    total_ms: float
    created_at: dt.datetime

    @property
    def day(self) -> str:
        """As 2026-11-28, UTC."""
        return self.created_at.astimezone(dt.UTC).date().isoformat()

    @property
    def failed(self) -> bool:
        """Whether it gave no text."""
        return self.outcome != "ok"


class UsageBy(enum.StrEnum):
    """What usage is told by."""

    DAY = "day"
    MODEL = "model"
    KEY = "key"
    WORKSPACE = "workspace"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class UsageLine:
    """What was used under one combination of the things that it is told by; None: not told by that."""

    calls: int
    failures: int
    usage: Usage
    cost_usd: float
    day: str | None = None
    model: str | None = None
    key_id: uuid.UUID | None = None
    workspace_id: uuid.UUID | None = None


def words_of(messages: Sequence[Message]) -> int:
    """Words of a prompt: where a provider counts no tokens, 4 of 3 words are taken for one each."""
    return sum(len(each.text.split()) for each in messages)


def estimated(messages: Sequence[Message], said: str) -> Usage:
    """Tokens where the provider did not count: 4 for 3 words, as OpenAI's own rule of thumb for English says."""
    return Usage(prompt_tokens=words_of(messages) * 4 // 3 + 1, completion_tokens=len(said.split()) * 4 // 3 + 1)
