"""Text of a page that no reader sees: by inline styles and by the rules of its own style sheets.

What the loader reads although it is hidden counts. What it leaves out (`display: none`, `hidden`, comments) never reaches a
model, and half of all pages and mails have some: menus, previews of newsletters. It counts where it gives orders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from app.text import instructions
from ingestion.load import css, selectors

_MEANT = frozenset(
    [
        "display",
        "visibility",
        "opacity",
        "font-size",
        "font",
        "filter",
        "clip",
        "clip-path",
        "transform",
        "text-indent",
        "left",
        "top",
        "right",
        "bottom",
        "margin-left",
        "height",
        "max-height",
        "width",
        "color",
        "background-color",
        "background",
        "background-image",
    ]
)  # properties that hide, and those that say on what letters stand
_MOST_STEPS = 4_000_000  # from sibling to sibling: some two seconds
_MOST_CHOSEN = 300_000  # elements, by all paths together: two seconds
_MOST_DEPTH = 100  # in a page that nests deeper a path takes minutes
_LEAST_LETTERS = 25  # `Skip to main content`, which only screen readers get, has 17
_COMMENT = re.compile(r"<!--(?!\[if)(.{12,}?)-->", re.DOTALL)
_BACKGROUNDS = ("background-color", "background", "background-image")
_PAPER: css.Colour = (255, 255, 255)
_COLOURS = "letters of the background's colour"


class Unseen:
    """A page's style sheets, and what they and its attributes hide."""

    def __init__(self, root: Any) -> None:
        self._root = root
        sheet = "\n".join(sheet.text or "" for sheet in root.iter("style"))
        self._variables = css.variables(sheet)
        self._rules, others = css.rules(sheet)
        self._chosen: dict[Any, dict[str, str]] = {}  # what other rules say of the elements that they choose
        meant = [(selectors.xpath(selector), declared) for selector, declared in others if _MEANT & declared.keys()]
        for path, declared in self._bounded([each for each in meant if each[0]]):
            for element in root.xpath(path):
                self._chosen.setdefault(element, {}).update(declared)

    def _bounded(self, paths: list[tuple[str, dict[str, str]]]) -> list[tuple[str, dict[str, str]]]:
        """As many paths as may be looked for: each goes through the page, and one by place through its siblings too."""
        if not paths or self._root.xpath(f"boolean(//*[count(ancestor::*) > {_MOST_DEPTH}])"):
            return []
        children = [len(element) for element in self._root.iter("*")]
        by_place = _MOST_STEPS // sum(number * number + 1 for number in children)
        kept = paths[: _MOST_CHOSEN // len(children)]
        return [each for number, each in enumerate(kept) if "sibling" not in each[0] or number < by_place]

    def ways(self, source: str) -> list[str]:
        """How text of the page is hidden, each way once."""
        found = dict.fromkeys(self._ways())
        if "<!--" in source and instructions.found("\n".join(_COMMENT.findall(source))):
            found["a comment that gives orders"] = None
        return list(found)

    def _ways(self) -> Iterator[str]:
        for element in self._styled():
            inline = css.declarations(element.get("style", ""), self._variables)
            style = {**self._ruled(element), **inline}
            how = css.hides(style)
            left_out = element.get("hidden") is not None or element.get("aria-hidden") == "true" or _left_out(inline)
            if not how and not left_out:
                how = self._faint(element, style)
            if not how and not left_out:
                continue
            text = " ".join(element.itertext("*"))
            if left_out:
                if instructions.found(text):
                    yield how or "hidden by an attribute"
            elif sum(map(str.isalpha, text)) >= _LEAST_LETTERS:
                yield how

    def _styled(self) -> Iterator[Any]:
        """The elements that have a style, or may have one."""
        wanted = "//*[@style or @hidden or @aria-hidden or self::font]"
        if self._rules:
            wanted = "//*[@style or @hidden or @aria-hidden or @class or @id or self::font]"
            if any(selector.isalnum() for selector in self._rules):
                wanted = "//*"
        plain = self._root.xpath(wanted)
        for element in dict.fromkeys([*plain, *self._chosen]):
            if element.tag not in ("script", "style", "template", "noscript", "head", "title", "html"):
                yield element

    def _ruled(self, element: Any) -> dict[str, str]:
        """What the page's own simple rules say of an element."""
        chosen = self._chosen.get(element, {})
        if not self._rules:
            return chosen
        names = [element.tag]
        for name in (element.get("class") or "").split():
            names += [f".{name}", f"{element.tag}.{name}"]
        if identity := element.get("id"):
            names += [f"#{identity}", f"{element.tag}#{identity}"]
        return {key: value for name in names for key, value in self._rules.get(name, {}).items()} | chosen

    def _faint(self, element: Any, style: dict[str, str]) -> str:
        """Whether its letters have the colour of what they stand on."""
        said = style.get("color") or (element.get("color") if element.tag == "font" else None)
        letters = css.colour(said.lower()) if said else None
        if letters is None:
            return ""
        if said == "transparent":
            return _COLOURS
        ground = self._ground(element)
        return _COLOURS if ground is not None and css.alike(letters, ground) else ""

    def _ground(self, element: Any) -> css.Colour | None:
        """The colour that an element stands on: the nearest that is set; None where that is a picture or not known."""
        while element is not None:
            style = {**self._ruled(element), **css.declarations(element.get("style", ""), self._variables)}
            values = [style[name] for name in _BACKGROUNDS if name in style]
            values += [element.get("bgcolor", "")] if element.get("bgcolor") else []
            if element.get("background"):
                return None
            for value in values:
                if value not in ("transparent", "none", "inherit", "initial"):
                    return css.colour(value.lower())
            element = element.getparent()
        return _PAPER


def _left_out(inline: dict[str, str]) -> bool:
    """Whether the loader leaves it out."""
    return inline.get("display") == "none" or inline.get("visibility") == "hidden"
