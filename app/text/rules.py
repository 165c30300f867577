"""Rules that are tried only where one of their stems stands, so that looking takes time in proportion to the text."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, and the stems without one of which it can't match."""

    kind: str
    stems: tuple[str, ...]
    source: str
    before: int = 12  # characters that are looked at before a stem
    after: int = 160  # from its beginning on

    @property
    def pattern(self) -> re.Pattern[str]:
        """Compiled where one of its stems was seen: all of them take 20 ms, and most texts hold none."""
        return _compiled(self.source)


@functools.cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)


def rule(kind: str, stems: str, *patterns: str, before: int = 12, after: int = 160) -> Rule:
    """A rule of stems with `;` between, and of patterns any of which will do."""
    return Rule(kind, tuple(stems.split(";")), "|".join(patterns), before, after)


def kinds(rules: tuple[Rule, ...], text: str) -> Iterator[str]:
    """The kinds of the rules that match."""
    done: set[str] = set()
    for rule in rules:
        if rule.kind in done:
            continue
        for stem in rule.stems:  # a loop and `in`: a call for each of some 300 stems would take longer than the looking
            if stem in text and _stands(rule, stem, text):
                done.add(rule.kind)
                yield rule.kind
                break


def _stands(rule: Rule, stem: str, text: str) -> bool:
    """Whether the rule's pattern is found around an occurrence of its stem; no place is searched twice."""
    at = text.find(stem)
    while at >= 0:
        start, end = max(0, at - rule.before), at + rule.after
        at = text.find(stem, at + len(stem))
        while 0 <= at < end:
            end = at + rule.after
            at = text.find(stem, at + len(stem))
        if rule.pattern.search(text, start, end):
            return True
    return False
