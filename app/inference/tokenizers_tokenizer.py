"""The tokenizer port by the `tokenizers` package."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import tokenizers

from app.domain.errors import ConfigurationError


class ModelTokenizer:
    """Implements `app.domain.ports.Tokenizer`."""

    def __init__(self, tokenizer: tokenizers.Tokenizer, *, window_tokens: int) -> None:
        """Take over a tokenizer.

        Args:
            tokenizer: of the model; its padding and truncation are turned off.
            window_tokens: the most tokens that the model reads, special tokens not counted.
        """
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._window_tokens = window_tokens
        self._special_tokens = self._tokenizer.num_special_tokens_to_add(is_pair=False)

    @classmethod
    def read(cls, path: pathlib.Path, *, window_tokens: int) -> ModelTokenizer:
        """Of a `tokenizer.json`.

        Raises:
            ConfigurationError: no such file, or not a tokenizer.
        """
        try:
            return cls(tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")), window_tokens=window_tokens)
        except Exception as error:  # the package raises bare Exceptions for a file that it can't parse
            raise ConfigurationError(f"{path} holds no tokenizer: {error}") from error

    @property
    def window_tokens(self) -> int:
        """The most tokens of one passage that the embedder reads, special tokens not counted."""
        return self._window_tokens

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens not counted, never truncated."""
        encodings = self._tokenizer.encode_batch_fast([clean(text) for text in texts], add_special_tokens=False)
        return [len(encoding) for encoding in encodings]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters [start, end) of each token of the text, in order; special tokens not counted."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(clean(text), add_special_tokens=False).offsets
        return offsets

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids with one special token before and after, as BERT takes them, cut to the window."""
        most = self._window_tokens + self._special_tokens
        encodings = self._tokenizer.encode_batch_fast([clean(text) for text in texts])
        every = [encoding.ids for encoding in encodings]
        return [ids if len(ids) <= most else [*ids[: most - 1], ids[-1]] for ids in every]


def clean(text: str) -> str:
    """The text with lone surrogates, which no encoding has, as question marks; offsets stay."""
    return text if text.isascii() else text.encode("utf-8", errors="replace").decode("utf-8")
