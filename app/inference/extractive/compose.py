"""From ranked sentences to an answer that reads: one to three, in order, each with what it needs to be understood."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.domain.answers import Candidate, Drafted
from app.text import sentences

MOST = 3  # sentences that are chosen
ENOUGH = 0.75  # share of all candidates at which no further sentence is added
LEAST = 0.10  # share of a further sentence
_POINTER = re.compile(r"\s*(?:he|she|it|they|this|these|those|his|her|its|their|such)\b", re.IGNORECASE)
_LONGEST_LEAD = 400  # code points of a sentence that is brought along


def answer(ranked: Sequence[Candidate]) -> tuple[Drafted, ...]:
    """The sentences of an answer in reading order.

    Args:
        ranked: best first; their scores are shares of 1.
    """
    chosen = _chosen(ranked)
    best = {each.passage.version_id: place for place, each in reversed(list(enumerate(chosen)))}
    ordered = sorted(chosen, key=lambda each: (best[each.passage.version_id], each.start))
    drafted: list[Drafted] = []
    said: set[tuple[object, int]] = {(each.passage.version_id, each.start) for each in chosen}
    for each in ordered:
        lead = _lead(each)
        if lead is not None and (lead.passage.version_id, lead.start) not in said:
            said.add((lead.passage.version_id, lead.start))
            drafted.append(Drafted(text=lead.text, sources=(lead,), support=each.score))
        drafted.append(Drafted(text=each.text, sources=(each,), support=each.score))
    return tuple(drafted)


def _chosen(ranked: Sequence[Candidate]) -> list[Candidate]:
    """The best, and further ones while it stays open which of them answers."""
    chosen: list[Candidate] = []
    share = 0.0
    seen: set[str] = set()
    for each in ranked:
        if chosen and (len(chosen) == MOST or share >= ENOUGH or each.score < LEAST):
            break
        share += each.score
        words = " ".join(each.text.lower().split())
        if words not in seen:  # the same sentence in two documents is said once
            seen.add(words)
            chosen.append(each)
    return chosen


def _lead(each: Candidate) -> Candidate | None:
    """The sentence before, where this one begins with a word that points back to it."""
    if not _POINTER.match(each.text):
        return None
    passage = each.passage
    before = [span for span in sentences.spans(passage.text) if passage.start + span[1] <= each.start]
    if not before or before[-1][1] - before[-1][0] > _LONGEST_LEAD:
        return None
    start, end = before[-1]
    return Candidate(
        passage=passage,
        start=passage.start + start,
        end=passage.start + end,
        text=passage.text[start:end],
        score=each.score,
    )
