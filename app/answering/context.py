"""What of the evidence an answer draws on: whole passages within a budget, neighbours side by side."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from app.domain.answers import Block, Context, Passage
from app.domain.ports import Tokenizer

_CHARS_A_TOKEN = 4  # of English, by word pieces; for estimates


def pack(passages: Sequence[Passage], *, tokenizer: Tokenizer, max_tokens: int) -> Context:
    """The best passages that fit; one that does not is left out whole, so that nothing is cut within a sentence.

    Args:
        passages: best first.
        tokenizer: counts.
        max_tokens: of all of them together.
    """
    kept: list[Passage] = []
    total = 0
    for passage, tokens in zip(passages, _counted(passages, tokenizer, max_tokens), strict=True):
        if total + tokens <= max_tokens:
            kept.append(passage)
            total += tokens
    return Context(passages=tuple(kept), blocks=_blocks(kept), tokens=total)


def _counted(passages: Sequence[Passage], tokenizer: Tokenizer, max_tokens: int) -> list[int]:
    """Tokens of each passage; estimated where all of them fit whatever they are: counting ten takes 4 ms.

    A passage is cut to fit the window of its embedder, and has no more tokens than characters.
    """
    most = [min(len(each.text), tokenizer.window_tokens) for each in passages]
    if sum(most) <= max_tokens:
        return [min(limit, len(each.text) // _CHARS_A_TOKEN + 1) for limit, each in zip(most, passages, strict=True)]
    return tokenizer.count([each.text for each in passages])


def _blocks(passages: Sequence[Passage]) -> tuple[Block, ...]:
    """Runs of passages with consecutive ordinals; the run that holds the best passage first."""
    by_version: dict[uuid.UUID, list[Passage]] = {}
    for passage in passages:
        by_version.setdefault(passage.version_id, []).append(passage)
    runs: list[list[Passage]] = []
    for several in by_version.values():
        several.sort(key=lambda passage: passage.ordinal)
        for passage in several:
            last = runs[-1][-1] if runs else None
            if last and (last.version_id, last.ordinal + 1) == (passage.version_id, passage.ordinal):
                runs[-1].append(passage)
            else:
                runs.append([passage])
    rank = {passage.chunk_id: place for place, passage in enumerate(passages)}
    runs.sort(key=lambda run: min(rank[passage.chunk_id] for passage in run))
    return tuple(Block(passages=tuple(run)) for run in runs)
