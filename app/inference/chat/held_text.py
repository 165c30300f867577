"""Text that comes in pieces of bytes: what can't be shown yet is held back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_LENGTHS: Final = (1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 2, 2, 3, 4)  # bytes of a character, by the first one's high half
_CONTINUES: Final = 0x80  # the highest two bits of a byte that goes on with a character
_REPLACEMENT: Final = "\ufffd"


class HeldText:
    """Gives characters once they are whole, and nothing from a stop mark on.

    A sequence that is no UTF-8 becomes one replacement character for each character that it looks like, as llama.cpp's
    grammars count them: so a string that a grammar holds to ten characters has ten.
    """

    def __init__(self, *, stops: Sequence[str] = ()) -> None:
        """Begin.

        Args:
            stops: texts that end what is said, and are no part of it.
        """
        self._stops = stops
        self._bytes = b""  # of a character that is not whole
        self._text = ""  # what may be the beginning of a stop mark
        self.stopped = False

    def add(self, piece: bytes) -> str:
        """What may be shown after these bytes."""
        return "" if self.stopped else self._shown(self._text + self._characters(piece))

    def end(self) -> str:
        """What was held back, now that nothing more comes."""
        rest = self._text + (_REPLACEMENT if self._bytes else "")
        self._bytes, self._text = b"", ""
        return "" if self.stopped else rest

    def _characters(self, piece: bytes) -> str:
        held = self._bytes + piece
        self._bytes = b""
        if held.isascii():
            return held.decode("ascii")
        characters: list[str] = []
        at = 0
        while at < len(held):
            length = _LENGTHS[held[at] >> 4] or 1
            end = at + 1
            while end < min(at + length, len(held)) and held[end] & 0xC0 == _CONTINUES:
                end += 1
            if end == len(held) and end < at + length:
                self._bytes = held[at:]
                break
            try:
                characters.append(held[at:end].decode())
            except UnicodeDecodeError:
                characters.append(_REPLACEMENT)
            at = end
        return "".join(characters)

    def _shown(self, text: str) -> str:
        self._text = ""
        found = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            return text[: min(found)]
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._text = text[len(text) - kept :]
        return text[: len(text) - kept]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of a text are the beginning of the mark."""
    return next((length for length in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:length])), 0)
