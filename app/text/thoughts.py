"""A model's thoughts, as some write them into what they say: between tags, before the answer."""

from __future__ import annotations

import re

_TAG = re.compile(
    r"<(?P<close>/?)(?P<name>think|thinking|thought|thoughts|reasoning|reflection|scratchpad)>", re.IGNORECASE
)
_LONGEST_TAG = 13  # characters, its brackets included
_BEGUN = re.compile(r"<(?:/?[a-z]{0,10})?\Z", re.IGNORECASE)


class Thoughts:
    """Takes thoughts out of a text that comes in pieces."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False

    def feed(self, piece: str) -> tuple[str, bool]:
        """What is said with this piece, and whether all that came before it was a thought: some tell only where it ends."""
        if not (self._held or self._inside or "<" in piece):
            return piece, False
        self._held += piece
        said, voids = "", False
        while tag := _TAG.search(self._held):
            before, self._held = self._held[: tag.start()], self._held[tag.end() :]
            if not self._inside:
                said += before
            if tag["close"] and not self._inside:
                said, voids = "", True
            self._inside = not tag["close"]
        if self._inside:
            self._held = self._held[-_LONGEST_TAG:]
            return said, voids
        begun = _BEGUN.search(self._held, max(0, len(self._held) - _LONGEST_TAG))
        cut = begun.start() if begun else len(self._held)
        said, self._held = said + self._held[:cut], self._held[cut:]
        return said, voids

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        rest, self._held = self._held, ""
        return "" if self._inside else rest
