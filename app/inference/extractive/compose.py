"""From ranked sentences to an answer that reads: one to three, in order, each with what it needs to be understood."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence

from app.domain.answers import Candidate, Drafted
from app.inference.extractive import units
from app.inference.extractive.features import negated
from app.inference.extractive.units import Surroundings, Unit
from app.text import words

MOST = 3  # sentences that are chosen
# On held-out articles of SQuAD 1.3 sentences an answer that hold a gold answer for 0.86 of the questions; at 0.75 and 0.10
# these were 1.5 and 0.88, at 0.45 and 0.25 1.05 and 0.81.
ENOUGH = 0.65  # share of all candidates at which no further sentence is added
LEAST = 0.15  # share of a further sentence
_SAME = 0.6  # share of words in common from which on two sentences speak of the same
_RIVALS = 10  # candidates that are looked through for one that says otherwise
_TWINS = 2  # further places of a sentence that are cited with it
_NUMBER = re.compile(r"\d[\d.,]*")

Place = tuple[uuid.UUID, int]  # version and start


def answer(ranked: Sequence[Candidate], surroundings: Surroundings) -> tuple[Drafted, ...]:
    """The sentences of an answer in reading order.

    Args:
        ranked: best first; their scores are shares of 1.
        surroundings: of the evidence.
    """
    chosen = _chosen(ranked)
    best = {each.passage.version_id: place for place, each in reversed(list(enumerate(chosen)))}
    ordered = sorted(chosen, key=lambda each: (best[each.passage.version_id], each.start))
    said: set[Place] = {_place(each) for each in chosen}
    drafted: list[Drafted] = []
    for each in ordered:
        lead = surroundings.before(each.passage, each.start)
        if lead is not None:
            drafted += _brought([lead], each, said)
        drafted.append(Drafted(text=_text(each, lead), sources=(each, *_twins(each, ranked, said)), support=each.score))
        drafted += _brought(surroundings.after(each.passage, each.start), each, said)
    return tuple(drafted)


def _brought(several: Sequence[Unit], owner: Candidate, said: set[Place]) -> list[Drafted]:
    """What comes along with a sentence, once."""
    drafted: list[Drafted] = []
    for unit in several:
        if (place := (unit.passage.version_id, unit.start)) in said:
            continue
        said.add(place)
        source = Candidate(passage=unit.passage, start=unit.start, end=unit.end, text=unit.text, score=owner.score)
        drafted.append(Drafted(text=unit.text, sources=(source,), support=owner.score))
    return drafted


def _text(each: Candidate, lead: Unit | None) -> str:
    """The sentence; a row whose table begins far away under the names of its columns."""
    names = None if lead is not None else units.column_names(each.text, each.passage)
    return f"{names}: {each.text}" if names else each.text


def _twins(each: Candidate, ranked: Sequence[Candidate], said: set[Place]) -> list[Candidate]:
    """The same sentence in other documents."""
    wanted = _plain(each)
    twins: list[Candidate] = []
    for other in ranked:
        elsewhere = other.passage.document_id != each.passage.document_id
        if elsewhere and _place(other) not in said and _plain(other) == wanted and len(twins) < _TWINS:
            said.add(_place(other))
            twins.append(other)
    return twins


def _chosen(ranked: Sequence[Candidate]) -> list[Candidate]:
    """The best, what contradicts it, and further ones while it stays open which of them answers."""
    if not ranked:
        return []
    chosen = [ranked[0]]
    chosen += [each for each in ranked[1:_RIVALS] if _contradict(ranked[0], each)][: MOST - 1]
    share = sum(each.score for each in chosen)
    seen = {_plain(each) for each in chosen}
    for each in ranked[1:]:
        if len(chosen) == MOST or share >= ENOUGH or each.score < LEAST:
            break
        if each in chosen:
            continue
        share += each.score
        if (words_of := _plain(each)) not in seen:  # the same sentence in two documents is said once
            seen.add(words_of)
            chosen.append(each)
    return chosen


def _contradict(one: Candidate, other: Candidate) -> bool:
    """Whether two documents say the same with another number, or one says that it is not so."""
    if one.passage.document_id == other.passage.document_id:
        return False
    here, there = _numbers(one), _numbers(other)
    left, right = words.of(one.text), words.of(other.text)
    same, every = (
        {stem for stem in stems if not stem[0].isdigit()}
        for stems in (left.content & right.content, left.content | right.content)
    )
    if not every or len(same) < _SAME * len(every):
        return False
    return (here != there and bool(here and there)) or negated(left.plain) != negated(right.plain)


def _numbers(each: Candidate) -> set[str]:
    return {found.rstrip(".,") for found in _NUMBER.findall(each.text)}


def _plain(each: Candidate) -> str:
    return " ".join(each.text.lower().split())


def _place(each: Candidate) -> Place:
    return each.passage.version_id, each.start
