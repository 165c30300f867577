"""Any CrossEncoder of the sentence-transformers library as a reranker, on a GPU where there is one."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Sequence
from typing import Any

from app.domain.errors import ConfigurationError, OverloadedError, TransientError
from app.inference.specs import RerankerSpec
from app.inference.tokenizers_tokenizer import clean

_WAIT_SECONDS = 10.0  # behind other questions: torch uses all cores for one batch


class CrossEncoderReranker:
    """Implements `app.domain.ports.Reranker`. One question at a time."""

    def __init__(self, spec: RerankerSpec, *, allow_download: bool = False, device: str | None = None) -> None:
        """Load the model.

        Args:
            spec: of the catalogue.
            allow_download: whether a model that is not in the local cache may be fetched.
            device: as torch names it; None for a GPU where there is one, else the CPU.

        Raises:
            ConfigurationError: the library is missing, the model is not here and may not be fetched, or is no reranker.
        """
        if not allow_download:  # read when the hub's client is imported; the library's own switch is set below too
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import sentence_transformers  # noqa: PLC0415 - five seconds and 400 MB, only where such a model is used
        except ImportError as error:
            raise ConfigurationError(
                f"the reranker {spec.name} needs sentence-transformers: pip install 'footnote[models]'"
            ) from error
        try:
            self._model: Any = sentence_transformers.CrossEncoder(
                spec.model, device=device, local_files_only=not allow_download, max_length=spec.window_tokens
            )
        except (OSError, ValueError) as error:
            hint = "" if allow_download else " (it is not on this machine, and downloads are not allowed)"
            raise ConfigurationError(f"the reranker {spec.name} can't be loaded{hint}: {error}") from error
        if (labels := int(self._model.num_labels)) != 1:
            raise ConfigurationError(
                f"the reranker {spec.name} is none: it gives {labels} scores for a passage, not one"
            )
        self._spec = spec
        self._free = threading.Lock()

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One for each text, the larger the better; as the model's own activation has them, mostly in [0, 1].

        Raises:
            OverloadedError: other questions are before this one for too long.
            TransientError: the model failed.
        """
        if not texts:
            return []
        if not self._free.acquire(timeout=_WAIT_SECONDS):
            raise OverloadedError(f"the reranker {self._spec.name} has been busy for {_WAIT_SECONDS:g} s")
        try:
            pairs = [(clean(question), clean(text)) for text in texts]
            found = self._model.predict(pairs, batch_size=self._spec.batch_size, show_progress_bar=False)
        except RuntimeError as error:  # as torch calls everything, a GPU without memory too
            raise TransientError(f"the reranker {self._spec.name} failed: {type(error).__name__}") from error
        finally:
            self._free.release()
        scores = [float(score) for score in found]
        if not all(map(math.isfinite, scores)):
            raise TransientError(f"the reranker {self._spec.name} gave a score that is no number")
        return scores

    def close(self) -> None:
        """Give back the model's memory, once it is free."""
        with self._free:
            self._model = None
