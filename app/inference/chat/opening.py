"""What opens a backend: by provider, imported where one is first called."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable

from app.domain.errors import ConfigurationError
from app.inference.chat.backend import Backend, Endpoint

Opening = Callable[[Endpoint], Awaitable[Backend]]

_MODULES = {"llama": "app.inference.chat.llama_backend"}
_OTHER = "app.inference.chat.langchain_backend"


async def in_thread(endpoint: Endpoint) -> Backend:
    """The backend of an endpoint. Its library's import and a file's loading take seconds, in a thread.

    Raises:
        ConfigurationError: its library is not installed, or its settings are not whole; the message says what to do.
    """
    backend = await asyncio.to_thread(_opened, endpoint)
    if (load := getattr(backend, "open", None)) is not None:  # those that put it off to their first call
        await load()
    return backend


def _opened(endpoint: Endpoint) -> Backend:
    try:
        module = importlib.import_module(_MODULES.get(endpoint.provider, _OTHER))
        backend: Backend = module.open_backend(endpoint)
    except ImportError as error:
        raise ConfigurationError(f"the provider {endpoint.provider} is not installed: {error}") from error
    return backend
