"""Slides: a page each; titles are headings, body lines are list items, tables are tables, notes follow the slide."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, Final

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load.assembly import Assembly, Limits, too_long
from ingestion.load.marking import says_something
from ingestion.load.package import Package
from ingestion.load.registry import Format

_A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P: Final = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_DIAGRAM: Final = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_RELATION_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DIAGRAM_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"
_TITLES: Final = ("title", "ctrTitle")
_FILLS: Final = tuple(f"{_A}{name}" for name in ("solidFill", "gradFill", "blipFill", "pattFill"))
_TINY = 150  # hundredths of a point
_FURNITURE: Final = ("dt", "ftr", "sldNum", "hdr", "sldImg")  # what stands on every slide, and the slide's own picture


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a presentation. Raises DocumentError: `encrypted`, `malformed`, `no_text`, `too_long`."""
    assembly = Assembly(limits)
    first_title: str | None = None
    with Package(path, limits=limits) as package:
        names = _slide_names(package)
        if len(names) > limits.max_pages:
            raise too_long("slides", limits.max_pages, "FOOTNOTE_MAX_PAGES")
        size = _size(package)
        for number, name in enumerate(names, start=1):
            assembly.begin_page(number)
            heading = _add_slide(assembly, package, number, name, size)
            first_title = first_title or heading
        title = package.title()
    if title in (None, "PowerPoint Presentation"):
        title = first_title
    return assembly.loaded(title=title, media_type=Format.PPTX.media_type)


def _add_slide(assembly: Assembly, package: Package, number: int, name: str, size: tuple[int, int]) -> str | None:
    """Put one slide into the assembly; gives its title."""
    try:
        root = package.parse(name)
    except DocumentError as error:
        if error.code != "malformed":
            raise
        root = None
    if root is None:
        assembly.warn("page_unreadable", f"slide {number} can't be read", page=number)
        return None
    slide = _Slide(package, name)
    assembly.hide(*slide.unseen(root, size), page=number)
    blocks = [*slide.blocks(root), *slide.notes()]
    if not blocks:
        assembly.warn("page_without_text", f"slide {number} holds no text", page=number)
    for kind, content in blocks:
        if kind is BlockKind.TABLE:
            assembly.table(content)
        else:
            assembly.add(kind, content, level=int(kind is BlockKind.HEADING))
    return next((content for kind, content in blocks if kind is BlockKind.HEADING), None)


def _slide_names(package: Package) -> list[str]:
    """The slides in the order of the show; those that do not exist are kept, to be warned of."""
    main = package.main()
    root = package.parse(main)
    if root is None:
        raise DocumentError("the file is damaged: it has no presentation", code="malformed")
    relations = package.relations(main)
    ids = [entry.get(_RELATION_ID, "") for entry in root.iter(f"{_P}sldId")]
    return [relations[identity][1] if identity in relations else "" for identity in ids]


class _Slide:
    """What one slide says, in order."""

    def __init__(self, package: Package, name: str) -> None:
        self._package = package
        self._name = name

    def blocks(self, root: Any) -> list[tuple[BlockKind, Any]]:
        """The blocks of the slide, its title first."""
        tree = root.find(f"{_P}cSld/{_P}spTree")
        found = [] if tree is None else list(self._shapes(tree))
        return sorted(found, key=lambda block: block[0] is not BlockKind.HEADING)

    def unseen(self, root: Any, size: tuple[int, int]) -> list[str]:
        """How text of the slide is hidden from who sees the show, each way once.

        Notes are not meant: who opens the file sees them.
        """
        said: dict[str, list[str]] = {}
        if root.get("show") in ("0", "false"):
            said["hidden slides"] = list(_paragraphs(root))
        for shape in root.iter(f"{_P}sp"):
            how = _shape_hidden(shape, size)
            if how:
                said.setdefault(how, []).extend(_paragraphs(shape))
                continue
            for run in shape.iter(f"{_A}r"):
                if how := _run_hidden(run):
                    said.setdefault(how, []).append(run.findtext(f"{_A}t") or "")
        white = "white letters"
        if white in said and self._on_a_ground(root):
            del said[white]
        return [how for how, texts in said.items() if says_something("".join(texts))]

    def _on_a_ground(self, root: Any) -> bool:
        """Whether anything that is not white may lie under white letters: a picture, a filled shape, a background."""
        if any(True for _ in root.iter(f"{_P}pic", f"{_P}graphicFrame")):
            return True
        roots = [root]
        for kind in ("slideLayout", "slideMaster"):
            owner = (
                self._name
                if kind == "slideLayout"
                else next(iter(self._package.related(self._name, "slideLayout")), "")
            )
            roots += [self._package.parse(name) for name in (self._package.related(owner, kind) if owner else ())]
        for each in roots:
            if any(_fills(place) for place in each.iter(f"{_P}bgPr", f"{_P}spPr")) or _filled_by_style(each):
                return True
            colours = each.find(f"{_P}clrMap")
            if colours is not None and colours.get("bg1", "lt1") != "lt1":
                return True
        return False

    def notes(self) -> Iterator[tuple[BlockKind, Any]]:
        """The speaker's notes."""
        for name in self._package.related(self._name, "notesSlide"):
            root = self._package.parse(name)
            for shape in root.iter(f"{_P}sp"):
                if _placeholder(shape) not in _FURNITURE:
                    yield from ((BlockKind.PARAGRAPH, text) for text in _paragraphs(shape))

    def _shapes(self, tree: Any) -> Iterator[tuple[BlockKind, Any]]:
        for shape in tree:
            if shape.tag == f"{_P}grpSp":
                yield from self._shapes(shape)  # depth is bounded by the parser
            elif shape.tag == f"{_P}graphicFrame":
                yield from self._frame(shape)
            elif shape.tag == f"{_P}sp" and _placeholder(shape) not in _FURNITURE:
                yield from _shape(shape)
            elif shape.tag.endswith("}AlternateContent") and len(shape):
                yield from self._shapes(shape[0])

    def _frame(self, frame: Any) -> Iterator[tuple[BlockKind, Any]]:
        for table in frame.iter(f"{_A}tbl"):
            yield (
                BlockKind.TABLE,
                [[" ".join(_paragraphs(cell)) for cell in row.iter(f"{_A}tc")] for row in table.iter(f"{_A}tr")],
            )
        relations = self._package.relations(self._name) if frame.find(f".//{_DIAGRAM}relIds") is not None else {}
        for diagram in frame.iter(f"{_DIAGRAM}relIds"):
            _, name = relations.get(diagram.get(_DIAGRAM_ID, ""), ("", ""))
            root = self._package.parse(name)
            for point in root.iter(f"{_DIAGRAM}t") if root is not None else ():
                yield from ((BlockKind.LIST_ITEM, text) for text in _paragraphs(point))


def _shape(shape: Any) -> Iterator[tuple[BlockKind, Any]]:
    place = _placeholder(shape)
    texts = list(_paragraphs(shape))
    if place in _TITLES:
        if texts:
            yield BlockKind.HEADING, " ".join(" ".join(texts).split())
        return
    kind = BlockKind.LIST_ITEM if place in ("body", "obj") and len(texts) > 1 else BlockKind.PARAGRAPH
    mark = "- " if kind is BlockKind.LIST_ITEM else ""
    yield from ((kind, mark + text) for text in texts)


def _placeholder(shape: Any) -> str:
    """The kind of placeholder that a shape is; the empty string for a shape of its own."""
    place = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return "" if place is None else str(place.get("type", "obj"))


def _paragraphs(element: Any) -> Iterator[str]:
    """The paragraphs that say something."""
    for paragraph in element.iter(f"{_A}p"):
        pieces = paragraph.iter(f"{_A}t", f"{_A}br", f"{_A}tab")
        text = "".join((piece.text or "") if piece.tag == f"{_A}t" else "\n" for piece in pieces).strip()
        if text:
            yield text


def _size(package: Package) -> tuple[int, int]:
    """Width and height of the slides, in English metric units."""
    root = package.parse(package.main())
    size = None if root is None else root.find(f"{_P}sldSz")
    return (0, 0) if size is None else (_number(size, "cx"), _number(size, "cy"))


def _shape_hidden(shape: Any, size: tuple[int, int]) -> str:
    """How a whole shape is hidden."""
    named = shape.find(f"{_P}nvSpPr/{_P}cNvPr")
    if named is not None and named.get("hidden") in ("1", "true"):
        return "hidden shapes"
    place = shape.find(f"{_P}spPr/{_A}xfrm")
    inside_group = shape.getparent() is not None and shape.getparent().tag == f"{_P}grpSp"
    if place is None or inside_group or not all(size):
        return ""
    offset, extent = place.find(f"{_A}off"), place.find(f"{_A}ext")
    if offset is None or extent is None:
        return ""
    left, top = _number(offset, "x"), _number(offset, "y")
    right, bottom = left + _number(extent, "cx"), top + _number(extent, "cy")
    return "off the slide" if right <= 0 or bottom <= 0 or left >= size[0] or top >= size[1] else ""


def _run_hidden(run: Any) -> str:
    """How a run is hidden by its own format."""
    properties = run.find(f"{_A}rPr")
    if properties is None:
        return ""
    if 0 < _number(properties, "sz") < _TINY:
        return "tiny letters"
    fill = properties.find(f"{_A}solidFill")
    if fill is None:
        return ""
    if any(alpha.get("val") in ("0", "0%") for alpha in fill.iter(f"{_A}alpha")):
        return "transparent letters"
    return "white letters" if _is_white(fill) else ""


def _fills(place: Any) -> bool:
    """Whether a shape or a background has a fill that is not white."""
    return any(child.tag in _FILLS and not (child.tag == _FILLS[0] and _is_white(child)) for child in place)


def _filled_by_style(root: Any) -> bool:
    return any(reference.get("idx", "0") != "0" for reference in root.iter(f"{_A}fillRef"))


def _is_white(fill: Any) -> bool:
    return any(each.get("val", "").upper() in ("FFFFFF", "BG1", "LT1") for each in fill)


def _number(element: Any, name: str) -> int:
    said = str(element.get(name, "0"))
    return int(said) if said.lstrip("-").isdigit() else 0
