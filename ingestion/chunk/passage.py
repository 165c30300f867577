"""What is embedded of a chunk: its text made cheap, under the title and headings that the text does not repeat."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from app.domain.ports import Tokenizer
from app.text import graphemes

BATCH_CHARS = 500_000  # code points given to the tokenizer at once; bounds its memory at some 20 MB

# Filings fill lines with leaders, rules and blanks to sign on, and each mark would cost a token: a run of four and more
# of one mark, spaced or not, counts as one.
_RUN = re.compile(r"([._\-=*~#+·•…‐-―─-╿])(?:[^\S\n]?\1){3,}+")  # noqa: RUF001 - the marks themselves
_SPACE = re.compile(r"[^\S\n]{2,}+")
_LINES = re.compile(r"\n\s++")


def plain(text: str) -> str:
    """The text with runs of one mark or of white space shortened: what is counted and embedded, never what is stored."""
    return _LINES.sub("\n", _SPACE.sub(" ", _RUN.sub(r"\1", text)))


def counts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Tokens of each text, counted in few calls of bounded size."""
    return [tokens for batch in _batches(texts) for tokens in tokenizer.count(batch)]


def compose(
    tokenizer: Tokenizer,
    title: str | None,
    chunks: Sequence[tuple[Sequence[str], str]],
    *,
    prefix_tokens: int,
    tokens: Sequence[int | None] = (),
) -> list[str]:
    """What is embedded of chunks of one document, none of more tokens than the tokenizer's window.

    Where room is short, the prefix gives way: the innermost heading stays longest, then the title, then the other
    headings from the inside out.

    Args:
        tokenizer: the embedder's.
        title: of the document.
        chunks: headings, outermost first, and text of each chunk.
        prefix_tokens: the most that title and headings may take, even where there is more room.
        tokens: the most that each chunk's text has, None where that is not known; saves counting most of them.
    """
    prefixes = _Prefixes(tokenizer, prefix_tokens)
    texts = [plain(text) for _, text in chunks]
    wanted = [_unsaid(title, headings, text) for (headings, _), text in zip(chunks, texts, strict=True)]
    made = [prefixes.make(parts, prefix_tokens) for parts in wanted]
    known = tokens or [None] * len(made)
    doubtful = [
        at
        for at, ((_, prefix), most) in enumerate(zip(made, known, strict=True))
        if most is None or prefix + most > tokenizer.window_tokens
    ]
    passages = [prefix + text for (prefix, _), text in zip(made, texts, strict=True)]
    for at, found in zip(doubtful, counts(tokenizer, [passages[at] for at in doubtful]), strict=True):
        if found > tokenizer.window_tokens:
            passages[at] = _fitted(tokenizer, prefixes, wanted[at], texts[at])
    return passages


def _unsaid(title: str | None, headings: Sequence[str], text: str) -> tuple[str, ...]:
    """Title and headings, without what the text says itself."""
    parts = [" ".join(plain(part).split()) for part in (title or "", *headings)]
    return tuple(part if part and part not in text else "" for part in parts)


def _fitted(tokenizer: Tokenizer, prefixes: _Prefixes, parts: tuple[str, ...], text: str) -> str:
    """The text under as much of its prefix as the window has room for."""
    room = tokenizer.window_tokens - tokenizer.count([text])[0]
    while room > 0:
        made = prefixes.make(parts, room)[0] + text
        over = tokenizer.count([made])[0] - tokenizer.window_tokens
        if over <= 0:
            return made
        room -= over
    return text if room >= 0 else head(tokenizer, text, tokenizer.window_tokens)


def head(tokenizer: Tokenizer, text: str, tokens: int) -> str:
    """The longest beginning of a text that ends with a word, where one fits, and has at most so many tokens."""
    spans = tokenizer.spans(text)
    if len(spans) <= tokens:
        return text
    while tokens > 0:
        end = graphemes.floor(text, spans[tokens - 1][1])
        space = text.rfind(" ", 0, end + 1)
        kept = text[: space if space > 0 else end].rstrip()
        if tokenizer.count([kept])[0] <= tokens:
            return kept
        tokens -= 1
    return ""


class _Prefixes:
    """Makes prefixes, and counts each part of them only once."""

    def __init__(self, tokenizer: Tokenizer, tokens: int) -> None:
        self.tokenizer = tokenizer
        self.tokens = tokens
        self._counts: dict[str, int] = {}
        self._made: dict[tuple[tuple[str, ...], int], tuple[str, int]] = {}

    def make(self, parts: tuple[str, ...], room: int) -> tuple[str, int]:
        """Title and headings, one a line, of about `room` tokens at most, and the most tokens that they add."""
        key = parts, min(room, self.tokens)
        if key not in self._made:
            self._made[key] = self._make(*key)
        return self._made[key]

    def _make(self, parts: tuple[str, ...], room: int) -> tuple[str, int]:
        title, *headings = range(len(parts))
        kept: dict[int, str] = {}
        added = 0
        for at in (*headings[-1:], title, *reversed(headings[:-1])):
            if not parts[at] or added >= room:
                continue
            part = (
                parts[at] if self._count(parts[at]) <= room - added else head(self.tokenizer, parts[at], room - added)
            )
            if part:
                kept[at] = part
                added += self._count(part)
        # A line end may cost a token in some vocabularies.
        return "".join(f"{kept[at]}\n" for at in sorted(kept)), added + len(kept)

    def _count(self, part: str) -> int:
        if part not in self._counts:
            self._counts[part] = self.tokenizer.count([part])[0]
        return self._counts[part]


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts in their order, in batches of about `BATCH_CHARS`."""
    batch: list[str] = []
    chars = 0
    for text in texts:
        batch.append(text)
        chars += len(text) + 16
        if chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
