"""What a reader of a document should know before trusting it: that it hides text, or gives orders to a model.

`hidden_text`: text that is read here, and would be given to a model, though nobody who opens the document sees it; or
text left out as hidden that carries orders. `instructions`: orders to a model (app.text.instructions).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from app.domain.jobs import Warning_
from app.domain.passages import Loaded
from app.text import instructions

HIDDEN_TEXT = "hidden_text"
INSTRUCTIONS = "instructions"

_LEAST_LETTERS = 15  # `ignore all rules` has 14; stray letters of layouts are fewer
_MOST_NAMED = 10  # pages in a message

_TAG_RUN = re.compile(  # a flag and up to six of them name a part of a country
    "(?<![\U0001f3f4\U000e0020-\U000e007e])[\U000e0020-\U000e007e]{4,}|[\U000e0020-\U000e007e]{8,}"
)
_CODED = re.compile(
    "[\u200b-\u200f\u2060-\u2064\ufeff\u180e]{8,}"  # letters of eight invisible bits and more
    "|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}"  # one chooses a form of a character; several are a code
    "|(?:[A-Za-z][\u200b-\u200d\u2060\ufeff]+){4,}[A-Za-z]"  # a word cut up, so that no search finds it
)
_REVERSED = re.compile("[\u202d\u202e][^\n\u202c]{4,}")  # overrides: what is stored is not what is shown
_RARE = re.compile("[\u200b-\u200f\u202d\u202e\u2060-\u2064\ufe00-\ufe0f\U000e0020-\U000e01ef]")


def marked(loaded: Loaded) -> Loaded:
    """The document with its marks, and a warning for each that says where."""
    text = loaded.text
    warnings = [each for each in loaded.warnings if each.code == HIDDEN_TEXT]
    if hows := unseen_characters(text):
        pages = [page.number for page in loaded.pages if unseen_characters(text[page.start : page.end])]
        warnings.append(hidden(hows, pages))
    if kinds := instructions.found(f"{loaded.title or ''}\n\n{text}"):
        pages = [page.number for page in loaded.pages if instructions.found(text[page.start : page.end])]
        warnings.append(ordering(kinds, pages))
    marks = tuple(dict.fromkeys(each.code for each in warnings))
    others = tuple(each for each in loaded.warnings if each.code != HIDDEN_TEXT)
    return dataclasses.replace(loaded, warnings=(*warnings, *others), marks=marks) if marks else loaded


def says_something(text: str) -> bool:
    """Whether hidden text is long enough to say something."""
    return sum(map(str.isalpha, text)) >= _LEAST_LETTERS


def unseen_characters(text: str) -> tuple[str, ...]:
    """How characters that are not seen carry something in this text; single ones have their uses in many scripts."""
    if text.isascii() or not _RARE.search(text):
        return ()
    hows = {
        "tag characters": _TAG_RUN.search(text),
        "zero-width characters": _CODED.search(text),
        "text whose direction is overridden": _REVERSED.search(text),
    }
    return tuple(how for how, match in hows.items() if match)


def hidden(hows: Iterable[str], pages: Sequence[int]) -> Warning_:
    """The warning of hidden text."""
    message = f"the document holds text that its readers do not see: {', '.join(hows)}{_named(pages)}"
    return Warning_(code=HIDDEN_TEXT, message=message, page=pages[0] if pages else None)


def ordering(kinds: Sequence[str], pages: Sequence[int]) -> Warning_:
    """The warning of orders to a model."""
    message = (
        f"the document gives orders to a model ({', '.join(kinds)}){_named(pages)}: it is passed on as quoted data only, "
        "and answers that use it say so"
    )
    return Warning_(code=INSTRUCTIONS, message=message, page=pages[0] if pages else None)


def _named(pages: Sequence[int]) -> str:
    if not pages:
        return ""
    named = ", ".join(map(str, pages[:_MOST_NAMED]))
    more = f" and {len(pages) - _MOST_NAMED} more" if len(pages) > _MOST_NAMED else ""
    return f" (page {named}{more})"
