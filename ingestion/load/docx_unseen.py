"""Text of a Word document that is not seen: hidden by its format, white on no ground, or too small."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from ingestion.load.marking import says_something

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_OFF = ("0", "false", "off", "none")
_TINY = 3  # half points
_WHITE = 0xEB  # of 255 in each part, as for PDF
_GROUNDS: Final = (f"{_W}shd", f"{_W}highlight")
_FILLS: Final = ("solidFill", "gradFill", "blipFill", "pattFill")
_MAX_STYLE_DEPTH = 20


class Unseen:
    """The formats that hide, as a document's styles have them."""

    def __init__(self, styles: dict[str, Any]) -> None:
        self._styles = styles
        self._hows: dict[str, str] = {}
        for identity in styles:
            self._hows[identity] = self._of_style(identity)
        self._hiding = {identity for identity, how in self._hows.items() if how}

    def ways(self, root: Any) -> list[str]:
        """How text of a part is hidden, each way once."""
        said: dict[str, list[str]] = {}
        for run in self._suspects(root):
            if how := self._how(run):
                said.setdefault(how, []).extend(text.text or "" for text in run.iter(f"{_W}t"))
        return [how for how, texts in said.items() if says_something("".join(texts))]

    def _suspects(self, root: Any) -> Iterator[Any]:
        """The runs with a format of their own that may hide them, and those whose style does."""
        seen: set[Any] = set()
        for mark in root.iter(f"{_W}vanish", f"{_W}color", f"{_W}sz"):
            run = mark.getparent().getparent() if mark.getparent().tag == f"{_W}rPr" else None
            if run is not None and run.tag == f"{_W}r" and run not in seen:
                seen.add(run)
                yield run
        if not self._hiding:
            return
        for mark in root.iter(f"{_W}rStyle", f"{_W}pStyle"):
            if mark.get(f"{_W}val") in self._hiding:
                owner = mark.getparent().getparent()
                for run in [owner] if owner.tag == f"{_W}r" else owner.iter(f"{_W}r"):
                    if run not in seen:
                        seen.add(run)
                        yield run

    def _how(self, run: Any) -> str:
        """How a run is hidden by its own format, else by that of its style or its paragraph's."""
        properties = run.find(f"{_W}rPr")
        how = _of_properties(properties)
        if not how and not _says(properties):
            how = self._hows.get(_style(properties, "rStyle"), "")
            paragraph = next(run.iterancestors(f"{_W}p"), None)
            how = how or self._hows.get(
                _style(paragraph.find(f"{_W}pPr") if paragraph is not None else None, "pStyle"), ""
            )
        return "" if how == "white letters" and self._on_a_ground(run) else how

    def _of_style(self, identity: str) -> str:
        for _ in range(_MAX_STYLE_DEPTH):
            style = self._styles.get(identity)
            if style is None:
                return ""
            properties = style.find(f"{_W}rPr")
            if how := _of_properties(properties):
                return how
            if _says(properties):
                return ""
            based = style.find(f"{_W}basedOn")
            identity = "" if based is None else based.get(f"{_W}val", "")
        return ""

    def _on_a_ground(self, run: Any) -> bool:
        """Whether something that is not white may lie under a run: shading, a styled table, a filled shape, the page."""
        if _shaded(run.find(f"{_W}rPr")):
            return True
        for above in run.iterancestors():
            if above.tag in (f"{_W}p", f"{_W}tc") and _shaded(above.find(f"{above.tag}Pr")):
                return True
            if above.tag == f"{_W}tbl":
                style = self._styles.get(_style(above.find(f"{_W}tblPr"), "tblStyle"))
                if style is not None and any(_dark(shade) for shade in style.iter(f"{_W}shd")):
                    return True
            if above.tag == f"{_W}txbxContent" and _filled(above):
                return True
            if above.tag == f"{_W}document":
                page = above.find(f"{_W}background")
                return page is not None and not _is_white(page.get(f"{_W}color", "FFFFFF"))
        return False


def _of_properties(properties: Any) -> str:
    """How properties of a run hide it."""
    if properties is None:
        return ""
    vanish = properties.find(f"{_W}vanish")
    if vanish is not None and vanish.get(f"{_W}val", "1") not in _OFF:
        return "hidden by its format"
    size = properties.find(f"{_W}sz")
    if size is not None and size.get(f"{_W}val", "").isdigit() and int(size.get(f"{_W}val")) < _TINY:
        return "tiny letters"
    colour = properties.find(f"{_W}color")
    return "white letters" if colour is not None and _is_white(colour.get(f"{_W}val", "")) else ""


def _says(properties: Any) -> bool:
    """Whether properties say of their own that the letters are seen."""
    colour = None if properties is None else properties.find(f"{_W}color")
    vanish = None if properties is None else properties.find(f"{_W}vanish")
    return colour is not None or vanish is not None


def _style(properties: Any, name: str) -> str:
    named = None if properties is None else properties.find(f"{_W}{name}")
    return "" if named is None else str(named.get(f"{_W}val", ""))


def _shaded(properties: Any) -> bool:
    return properties is not None and any(_dark(ground) for ground in properties if ground.tag in _GROUNDS)


def _dark(ground: Any) -> bool:
    if ground.tag == f"{_W}highlight":
        return ground.get(f"{_W}val", "none") not in ("none", "white")
    fill = ground.get(f"{_W}fill", "auto")
    return bool(ground.get(f"{_W}themeFill")) or (fill not in ("auto", "") and not _is_white(fill))


def _filled(content: Any) -> bool:
    """Whether the shape around a text box's content has a fill of any kind."""
    box = content.getparent()
    shape = None if box is None else box.getparent()
    if shape is None:
        return False
    old = shape.get("fillcolor") or ""
    if old and old.lower() not in ("white", "#fff", "#ffffff"):
        return True
    for fill in shape.iter():
        name = fill.tag.rpartition("}")[2] if isinstance(fill.tag, str) else ""
        if name in _FILLS and (name != "solidFill" or not any(_is_white(each.get("val", "")) for each in fill)):
            return next(fill.iterancestors(f"{_W}txbxContent"), None) is not content
    return False


def _is_white(value: str) -> bool:
    try:
        parts = bytes.fromhex(value)
    except ValueError:
        return False
    return len(parts) == 3 and min(parts) >= _WHITE  # noqa: PLR2004 - red, green, blue
