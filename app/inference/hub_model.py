"""Models of the sentence-transformers library, loaded from a folder or the hub."""

from __future__ import annotations

import os
from typing import Any

from app.domain.errors import ConfigurationError


def loaded(kind: str, model: str, *, called: str, allow_download: bool, device: str | None, **options: object) -> Any:
    """The model, as the library's class of this name has it.

    Args:
        kind: SentenceTransformer or CrossEncoder.
        model: a local folder, or a name on the hub.
        called: as errors name it.
        allow_download: whether a model that is not in the local cache may be fetched.
        device: as torch names it; None for a GPU where there is one, else the CPU.
        options: of the class.

    Raises:
        ConfigurationError: the library is missing, or the model is not here and may not be fetched.
    """
    if not allow_download:  # read when the hub's client is imported; the library's own switch is set below too
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import sentence_transformers  # noqa: PLC0415 - five seconds and 400 MB, only where such a model is used
    except ImportError as error:
        raise ConfigurationError(f"{called} needs sentence-transformers: pip install 'footnote[models]'") from error
    try:
        return getattr(sentence_transformers, kind)(
            model, device=device, local_files_only=not allow_download, **options
        )
    except (OSError, ValueError) as error:
        hint = "" if allow_download else " (it is not on this machine, and downloads are not allowed)"
        raise ConfigurationError(f"{called} can't be loaded{hint}: {error}") from error
