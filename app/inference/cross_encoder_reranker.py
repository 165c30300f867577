"""Any CrossEncoder of the sentence-transformers library as a reranker, on a GPU where there is one."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

from app.domain.errors import ConfigurationError, OverloadedError, TransientError
from app.inference import hub_model
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
        self._model = hub_model.loaded(
            "CrossEncoder",
            spec.model,
            called=f"the reranker {spec.name}",
            allow_download=allow_download,
            device=device,
            max_length=spec.window_tokens,
        )
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
