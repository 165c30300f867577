"""Any model of the sentence-transformers library, on a GPU where there is one."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from app.domain.errors import ConfigurationError
from app.domain.vectors import Matrix
from app.inference import hub_model
from app.inference.batcher import Kind, Prepared
from app.inference.tokenizers_tokenizer import ModelTokenizer, clean


class SentenceTransformersEncoder:
    """Implements `app.inference.embedder.Encoder` by the library.

    One lane: torch uses all cores for one batch, and a GPU computes one batch at a time.
    """

    def __init__(self, name: str, *, allow_download: bool = False, device: str | None = None) -> None:
        """Load a model.

        Args:
            name: a local folder, or a name on the hub.
            allow_download: whether a model that is not in the local cache may be fetched.
            device: as torch names it; None for a GPU where there is one, else the CPU.

        Raises:
            ConfigurationError: the library is missing, or the model is not here and may not be fetched.
        """
        self._model = hub_model.loaded(
            "SentenceTransformer", name, called=f"the embedder {name!r}", allow_download=allow_download, device=device
        )
        self._model.eval()
        self._name = name
        self._dimensions = int(self._model.get_embedding_dimension())
        self._window = self._read_window()
        backend = getattr(self._model.tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ConfigurationError(f"the embedder {name!r} has no fast tokenizer, so places in a text can't be told")
        copy = type(backend).from_str(backend.to_str())  # the model truncates with its own
        self._tokenizer = ModelTokenizer(copy, window_tokens=self._window)
        self._fingerprint = self._read_fingerprint()

    @property
    def fingerprint(self) -> str:
        """Names the model and a hash over its configuration and weights."""
        return self._fingerprint

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The tokenizer that decides what fits the window."""
        return self._tokenizer

    @property
    def lanes(self) -> int:
        """One batch at a time."""
        return 1

    @property
    def question_lane(self) -> bool:
        """Questions and passages share the lane."""
        return False

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """The texts and what they cost."""
        counts = self._tokenizer.count(texts)
        return [
            Prepared(text=clean(text), tokens=max(1, min(count, self._window)))
            for text, count in zip(texts, counts, strict=True)
        ]

    def encode(self, kind: Kind, batch: Sequence[Prepared]) -> Matrix:
        """Unit vectors in the order given, with the model's own prompt for questions or passages."""
        run = self._model.encode_query if kind is Kind.QUESTION else self._model.encode_document
        texts = [prepared.text for prepared in batch]
        vectors = run(texts, batch_size=len(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    def close(self) -> None:
        """Give back the model's memory."""
        self._model = None

    def _read_window(self) -> int:
        most = self._model.max_seq_length
        if not most:
            raise ConfigurationError(f"the embedder {self._name!r} does not say how many tokens it reads")
        special = self._model.tokenizer.num_special_tokens_to_add(pair=False)
        prompts = getattr(self._model, "prompts", None) or {}
        longest = max((len(self._model.tokenizer.tokenize(prompt)) for prompt in prompts.values() if prompt), default=0)
        return int(most) - int(special) - longest

    def _read_fingerprint(self) -> str:
        """Over names, shapes and bytes of all weights, and over the modules as they describe themselves."""
        digest = hashlib.sha256()
        digest.update(f"{self._model}\n{getattr(self._model, 'prompts', None)}".encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return f"{pathlib.PurePath(self._name).name}@{digest.hexdigest()[:12]}/sentence-transformers/{self._window}"
