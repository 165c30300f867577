"""What a model wrote, without anything that a page would follow, load or take for a footnote of ours."""

from __future__ import annotations

import re
from collections.abc import Callable

_LINK = "(link)"  # in place of an address: the source that a sentence stands on shows it, as text
_MOST_PASSES = 8
_MOST_HELD = 400  # characters that are held back for a bracket to close; a longer run is no link

_IMAGE = re.compile(
    r"!\[[^\[\]\n]{0,300}\](?:\([^()\n]{0,400}(?:\([^()\n]{0,100}\)[^()\n]{0,100})?\)|\[[^\[\]\n]{0,300}\])?"
)
_INLINE = re.compile(r"\[([^\[\]\n]{0,300})\]\([^()\n]{0,400}(?:\([^()\n]{0,100}\)[^()\n]{0,100})?\)")
_REFERENCE = re.compile(r"\[([^\[\]\n]{1,300})\]\s?\[[^\[\]\n]{0,300}\]")
_DEFINITION = re.compile(r"^[ ]{0,3}\[[^\[\]\n]{1,300}\]:[^\n]*", re.MULTILINE)
MARK = re.compile(
    r"\s?(?:\[|【|\{)\s?(?:\^|(?:sources?|src|citations?|refs?)\.?:?\s?#?)?\d{1,4}(?:†[^\]】\n]{0,40})?"
    r"(?:\s?(?:[,;&–-]|and)\s?\^?\d{1,4})*\s?(?:\]|】|\})",  # noqa: RUF001 - the dash itself
    re.IGNORECASE,
)
# Numbers that a reader takes for footnotes: in circles, in a row of brackets, raised behind a word or a stop, not behind a unit.
_RAISED = re.compile(
    r"\s?[①-⑳❶-❿➀-➓]|\s?(?:\(\d{1,2}\)){2,}|\s?\([⁰¹²³⁴-⁹]{1,3}\)"
    r"|(?:(?<=[^\W\d_]{4})|(?<=[.!?,;\])]))[⁰¹²³⁴-⁹]{1,3}(?!\w)"
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_TAG = re.compile(r"<(?=[a-zA-Z/!?])[^<>]{0,2000}>?")
_LIVE_TAG = re.compile(
    r"</?(?:a|area|audio|base|button|embed|form|frame|iframe|img|input|link|math|meta|object|picture|script|source|style|svg|video)"
    r"\b[^<>]{0,2000}>",
    re.IGNORECASE,
)
_ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}:/{0,3}(?=[^\s/])(?:(?<=//)|(?<=data:)|(?<=mailto:)|(?<=javascript:)|(?<=vbscript:)|(?<=tel:)"
    r"|(?<=blob:)|(?<=file:))|\bhttps?:[\\/]{0,4}(?=\w)|(?<![\w/.:])//(?=\w)|\bwww\d?\.)[^\s<>\"'`]{1,2000}",
    re.IGNORECASE,
)
_EMPHASIS = re.compile(r"(\*\*|__|`{1,3})(?=\S)|(?<=\S)(\*\*|__|`{1,3})")
_SPECIAL = re.compile(
    r"[<\[\]!(){}*_`:/【】①-➓⁰¹²³⁴-⁹]|www", re.IGNORECASE
)  # without any of these nothing is taken out
_BRACKETS = str.maketrans("[]", "()")
_OPENERS = re.compile(r"[\[<【!]|`")


def inert(text: str, *, marks: bool = False) -> str:
    """The text without images, links, mark-up and source marks; the words of links stay.

    Args:
        text: of a model; whole, or cut where `Stream` cuts.
        marks: leave `[1]` where it stands.
    """
    if not _SPECIAL.search(text):  # most pieces of most streams
        return text
    for _ in range(_MOST_PASSES):
        before, text = text, _once(text, marks=marks)
        if text == before:
            break
    else:  # made to come to life again and again
        text = text.replace("<", "").replace("://", " ")
    return text if marks else text.translate(_BRACKETS)


def _once(text: str, *, marks: bool) -> str:
    """What one pass takes out; what is left may hold something new, as `<b>` inside of a word of mark-up did."""
    text = _COMMENT.sub("", text)
    text = _IMAGE.sub("", text)
    text = _DEFINITION.sub("", text)
    text = _INLINE.sub(r"\1", text)
    if not marks:
        text = _RAISED.sub("", MARK.sub("", text))
        text = _REFERENCE.sub(r"\1", text)
    text = _TAG.sub("", text)
    text = _ADDRESS.sub(_LINK, text)
    return _EMPHASIS.sub("", text)


def unlinked(text: str) -> str:
    """A document's own words without the mark-up that a page would load or follow; addresses stay as words."""
    for _ in range(_MOST_PASSES):
        before, text = text, _LIVE_TAG.sub("", _INLINE.sub(r"\1", _IMAGE.sub("", text)))
        if text == before:
            break
    return text


class Stream:
    """The same for text that comes in pieces: a word is given when it has ended, a bracket when it has closed."""

    def __init__(self, *, read: Callable[[str], str] = str) -> None:
        """Take what undoes escapes that the model copied: what comes to life by that is taken out too."""
        self._held = ""
        self._read = read

    def feed(self, piece: str) -> str:
        """What may be shown now."""
        self._held += piece
        safe = self._safe()
        out, self._held = self._held[:safe], self._held[safe:]
        return inert(self._read(out)) if out else ""

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        out, self._held = self._held, ""
        return inert(self._read(out))

    def _safe(self) -> int:
        """Up to where no later character can change what is made of the text."""
        held = self._held
        safe = max(held.rfind(" "), held.rfind("\n"), 0)  # the space goes with what follows: a mark takes it along
        for opener in _OPENERS.finditer(held):
            start = opener.start()
            if start >= safe:
                break
            end = _closed(held, start)
            if end is None and len(held) - start <= _MOST_HELD:
                return _before_space(held, start)
            if end is not None and end >= safe:
                return _before_space(held, start)
        return safe


def _before_space(text: str, place: int) -> int:
    return place - 1 if place and text[place - 1].isspace() else place


def _closed(text: str, start: int) -> int | None:
    """The end of what opens at `start`, with one more character behind it; None where it is still open."""
    char, following = text[start], text[start + 1 : start + 2]
    if char == "!":
        return start if following and following != "[" else _closed(text, start + 1) if following else None
    if char == "`" or (char == "<" and following and not (following.isalpha() or following in "/!?")):
        return start
    if char == "<":
        return _place_of("-->" if text.startswith("<!--", start) else ">", text, start)
    close = _place_of("]" if char == "[" else "】", text, start)
    return None if close is None else _behind(text, close)


def _behind(text: str, close: int) -> int | None:
    """The end of the target that may follow a bracket closed at `close`."""
    following = text[close + 1 : close + 3]
    if following in ("", " ") or (following[0] == ":" and "\n" not in text[close:]):
        return None
    if following[0] == "(":
        end = _place_of(")", text, close)
        return None if end is None or end + 1 >= len(text) else end
    if "[" in (following[0], following.strip()):
        return _place_of("]", text, close + 1)
    return close


def _place_of(mark: str, text: str, start: int) -> int | None:
    found = text.find(mark, start)
    return None if found < 0 else found
