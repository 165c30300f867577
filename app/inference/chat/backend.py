"""One way to one model: a single attempt, without retries. What composes these is `app.domain.ports.ChatModel`."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from app.domain.models import ChatEvent, ChatRequest

Option = str | int | float | bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a model is called."""

    provider: str  # as in ModelSpec
    model: str  # the provider's id of it; a path to a GGUF file for `llama`
    base_url: str | None = None  # None: the provider's own
    api_key: str | None = dataclasses.field(default=None, repr=False)
    options: Mapping[str, Option] = dataclasses.field(default_factory=dict)  # of the provider: api_version, region, ...
    connect_seconds: float = 5.0
    first_token_seconds: float = 15.0
    idle_seconds: float = 30.0  # longest silence between two pieces
    max_connections: int = 64


class Backend(Protocol):
    """A client of one endpoint. Lives on one event loop; many calls at once."""

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """What the model says, piece by piece, then `Finished`; closing the iterator ends the call upstream.

        Raises:
            ModelDownError: can't be reached, 5xx, 529, what is no answer, broken off before the end.
            ModelBusyError: 429; carries what the provider says of when to come back (Retry-After), else 1 s.
            ModelTimeoutError: no piece in `first_token_seconds` or `idle_seconds`.
            ModelRefusedError: 400, 401, 403, 404, 413, 422; its codes say which.
        """
        ...

    async def close(self) -> None:
        """Give back connections, threads and memory."""
        ...
