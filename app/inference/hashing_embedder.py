"""A deterministic embedder without a model, for tests and fault rounds: words hashed into a few dimensions.

Texts that share words are near each other, and that is all: no product should be run on it.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Sequence

import numpy as np

from app.domain.vectors import Matrix
from app.inference.batcher import Kind, Prepared

WORD = re.compile(r"\w+|[^\w\s]")
WINDOW_TOKENS = 254  # as the default embedder's, so that chunks are cut alike


class WordTokenizer:
    """Implements `app.domain.ports.Tokenizer`: a word or a mark is a token."""

    @property
    def window_tokens(self) -> int:
        """The most tokens of one passage that the embedder reads."""
        return WINDOW_TOKENS

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, never truncated."""
        return [sum(1 for _ in WORD.finditer(text)) for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) of each token of the text, in order."""
        return [found.span() for found in WORD.finditer(text)]


class HashingEncoder:
    """Implements `app.inference.embedder.Encoder` without a model."""

    def __init__(self, *, dimensions: int = 16, wait_seconds: float = 0.0) -> None:
        self._dimensions = dimensions
        self._wait_seconds = wait_seconds  # of each batch, as for a model elsewhere
        self._tokenizer = WordTokenizer()

    @property
    def fingerprint(self) -> str:
        """Names method and dimensions."""
        return f"hashing-{self._dimensions}/{WINDOW_TOKENS}"

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def tokenizer(self) -> WordTokenizer:
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
        """The texts and their words' number, of the window at most."""
        counts = self._tokenizer.count(texts)
        return [
            Prepared(text=text, tokens=max(1, min(count, WINDOW_TOKENS)))
            for text, count in zip(texts, counts, strict=True)
        ]

    def encode(self, _kind: Kind, batch: Sequence[Prepared]) -> Matrix:
        """Unit vectors: each word of the window adds one of two signs to one dimension."""
        if self._wait_seconds:
            time.sleep(self._wait_seconds)
        rows = np.zeros((len(batch), self._dimensions), dtype=np.float32)
        for number, prepared in enumerate(batch):
            row = rows[number]
            for word in WORD.findall(prepared.text.casefold())[:WINDOW_TOKENS]:
                digest = hashlib.blake2b(word.encode("utf-8", errors="replace"), digest_size=8).digest()
                row[int.from_bytes(digest[:4], "little") % self._dimensions] += 1.0 if digest[4] & 1 else -1.0
            if not row.any():  # no words, or words that cancel out
                row[0] = 1.0
        unit: Matrix = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    def close(self) -> None:
        """Nothing is held."""
