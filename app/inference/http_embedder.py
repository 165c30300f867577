"""Any embedding model behind an OpenAI-compatible server (vLLM, TEI, Ollama, LiteLLM, OpenAI itself)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app.domain.errors import ConfigurationError
from app.domain.ports import Tokenizer
from app.domain.vectors import Matrix
from app.inference.batcher import Kind, Prepared
from app.inference.remote import RemoteCalls
from app.inference.rough_tokenizer import RoughTokenizer
from app.inference.specs import EmbedderSpec
from app.inference.tokenizers_tokenizer import ModelTokenizer, clean

_BLANK = " "  # in place of a text of no characters, which servers refuse


class HttpEncoder:
    """Implements `app.inference.embedder.Encoder` by POST /embeddings."""

    def __init__(self, spec: EmbedderSpec) -> None:
        """Take what the catalogue says; nothing is called yet.

        Raises:
            ConfigurationError: its key is not set, or its tokenizer can't be read.
        """
        assert spec.remote is not None  # noqa: S101 - for the type checker: `catalogue.create` chose
        if spec.remote.unset is not None:
            raise ConfigurationError(f"the embedder {spec.name} can't be used: {spec.remote.unset}")
        self._spec = spec
        self._tokenizer: Tokenizer = (
            RoughTokenizer(window_tokens=spec.window_tokens)
            if spec.tokenizer is None
            else ModelTokenizer.read(spec.tokenizer, window_tokens=spec.window_tokens)
        )
        self._calls = RemoteCalls(spec.remote, what=f"the embedder {spec.name}")

    @property
    def fingerprint(self) -> str:
        """Names model, dimensions, window and prefixes; where the server stands is no part of it."""
        spec = self._spec
        prefixes = f"{spec.query_prefix}\n{spec.passage_prefix}".encode()
        marked = f"+{hashlib.sha256(prefixes).hexdigest()[:8]}" if prefixes.strip() else ""
        return f"{spec.model}@{spec.dimensions}/openai_compatible/{spec.window_tokens}{marked}"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._spec.dimensions

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that decides what fits the window."""
        return self._tokenizer

    @property
    def lanes(self) -> int:
        """How many requests of passages are under way at once."""
        return self._spec.lanes

    @property
    def question_lane(self) -> bool:
        """Questions have a connection of their own."""
        return True

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """The texts, cut where the window ends: what a server does with more is its own affair."""
        prepared = []
        for text in map(clean, texts):
            spans = self._tokenizer.spans(text)
            window = self._spec.window_tokens
            cut = text if len(spans) <= window else text[: spans[window - 1][1]]
            prepared.append(Prepared(text=cut, tokens=max(1, min(len(spans), window))))
        return prepared

    def encode(self, kind: Kind, batch: Sequence[Prepared]) -> Matrix:
        """Unit vectors in the order given.

        Raises:
            PartDownError: the server can't be reached, fails, or answers what are no such vectors.
            ModelRefusedError: it does not take one of the texts.
        """
        prefix = self._spec.query_prefix if kind is Kind.QUESTION else self._spec.passage_prefix
        texts = [(prefix + each.text) or _BLANK for each in batch]
        size = self._spec.batch_size
        parts = [self._vectors(texts[start : start + size]) for start in range(0, len(texts), size)]
        together = np.concatenate(parts)
        lengths = np.linalg.norm(together, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise self._calls.nonsense("holds a vector that is no direction")
        unit: Matrix = (together / lengths).astype(np.float32)
        return unit

    def close(self) -> None:
        """Give the connections back."""
        self._calls.close()

    def _vectors(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        body: dict[str, Any] = {"model": self._spec.model, "input": list(texts), "encoding_format": "float"}
        if self._spec.send_dimensions:
            body["dimensions"] = self._spec.dimensions
        answer = self._calls.post("/embeddings", body)
        try:
            found = sorted(answer["data"], key=lambda each: each["index"])
            if [each["index"] for each in found] != list(range(len(texts))):
                raise self._calls.nonsense(f"does not hold one vector for each of {len(texts)} texts")
            rows = np.array([each["embedding"] for each in found], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise self._calls.nonsense("holds no vectors") from error
        if rows.shape != (len(texts), self._spec.dimensions):
            raise self._calls.nonsense(
                f"has vectors of {rows.shape[-1]} dimensions, the catalogue says {self._spec.dimensions}"
            )
        return rows
