"""Slides: a page each; titles are headings, body lines are list items, tables are tables, notes follow the slide."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, Final

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load.assembly import Assembly, Limits, too_long
from ingestion.load.package import Package
from ingestion.load.registry import Format

_A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P: Final = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_DIAGRAM: Final = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_RELATION_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_DIAGRAM_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}dm"
_TITLES: Final = ("title", "ctrTitle")
_FURNITURE: Final = ("dt", "ftr", "sldNum", "hdr", "sldImg")  # what stands on every slide, and the slide's own picture


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a presentation. Raises DocumentError: `encrypted`, `malformed`, `no_text`, `too_long`."""
    assembly = Assembly(limits)
    first_title: str | None = None
    with Package(path, limits=limits) as package:
        names = _slide_names(package)
        if len(names) > limits.max_pages:
            raise too_long("slides", limits.max_pages, "FOOTNOTE_MAX_PAGES")
        for number, name in enumerate(names, start=1):
            assembly.begin_page(number)
            heading = _add_slide(assembly, package, number, name)
            first_title = first_title or heading
        title = package.title()
    if title in (None, "PowerPoint Presentation"):
        title = first_title
    return assembly.loaded(title=title, media_type=Format.PPTX.media_type)


def _add_slide(assembly: Assembly, package: Package, number: int, name: str) -> str | None:
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
