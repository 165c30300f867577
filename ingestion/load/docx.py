"""Word documents: paragraphs, headings by style, lists, tables, text boxes, notes, headers and footers.

Read from the XML: the usual libraries leave out text boxes, notes, content controls and tracked insertions.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any, Final

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load.assembly import Assembly, Limits
from ingestion.load.docx_unseen import Unseen
from ingestion.load.package import Package
from ingestion.load.registry import Format

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC: Final = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_STRICT: Final = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_SKIPPED: Final = {f"{_W}{name}" for name in ("del", "moveFrom", "instrText", "delText", "rPr", "pPr", "sectPr")}
_GLYPHS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}
_HEADING = re.compile(r"heading (\d)$", re.IGNORECASE)
_MAX_STYLE_DEPTH = 20
_BODY_LEVEL = 9  # the outline level, counted from 0, that means none


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a Word document. Raises DocumentError: `encrypted`, `malformed`, `no_text`, `too_long`."""
    assembly = Assembly(limits)
    with Package(path, limits=limits) as package:
        main = package.main()
        root = package.parse(main)
        body = None if root is None else root.find(f"{_W}body")
        if body is None:
            strict = root is not None and root.tag.startswith(_STRICT)
            raise DocumentError(
                "the document is in the `Strict Open XML` form: save it as an ordinary .docx"
                if strict
                else "the file is damaged: it has no document body",
                code="malformed",
            )
        styles = _Styles(package, main)
        unseen = Unseen(styles.by_id)
        assembly.hide(*unseen.ways(root))
        walk = _Walk(assembly, styles, unseen)
        walk.blocks(body)
        for kind in ("footnotes", "endnotes", "header", "footer"):
            walk.asides(package, main, kind)
        title = package.title()
    return assembly.loaded(title=title or walk.title, media_type=Format.DOCX.media_type)


class _Styles:
    """What the styles say of a paragraph."""

    def __init__(self, package: Package, main: str) -> None:
        self.by_id: dict[str, Any] = {}
        for name in package.related(main, "styles"):
            root = package.parse(name)
            self.by_id = {style.get(f"{_W}styleId", ""): style for style in root.iter(f"{_W}style")}

    def name(self, style_id: str) -> str:
        """The name of a style; names are the same in every language of Word, ids are not."""
        style = self.by_id.get(style_id)
        return style_id if style is None else _value(style.find(f"{_W}name"))

    def level(self, paragraph: Any) -> int:
        """The heading level of a paragraph, 1 the outermost; 0 where it is none."""
        for properties, name in self._chain(paragraph):
            match = _HEADING.match(name)
            if match:
                return int(match[1])
            if name.lower() == "title":
                return 1
            outline = _value(properties.find(f"{_W}outlineLvl")) if properties is not None else ""
            if outline.isdigit():
                return 0 if int(outline) >= _BODY_LEVEL else int(outline) + 1
        return 0

    def in_list(self, paragraph: Any) -> bool:
        """Whether the paragraph is numbered or has a bullet."""
        for properties, name in self._chain(paragraph):
            number = properties.find(f"{_W}numPr/{_W}numId") if properties is not None else None
            if number is not None:
                return _value(number) != "0"
            if name.lower().startswith("list ") and "continue" not in name.lower():
                return True
        return False

    def _chain(self, paragraph: Any) -> Iterator[tuple[Any, str]]:
        """The paragraph's own properties, then those of its style and of the styles that it is based on."""
        properties = paragraph.find(f"{_W}pPr")
        yield properties, ""
        style_id = _value(properties.find(f"{_W}pStyle")) if properties is not None else ""
        for _ in range(_MAX_STYLE_DEPTH):
            style = self.by_id.get(style_id)
            if style is None:
                return
            yield style.find(f"{_W}pPr"), self.name(style_id)
            style_id = _value(style.find(f"{_W}basedOn"))


class _Walk:
    """Goes through a story (the body, a note, a header) in reading order."""

    def __init__(self, assembly: Assembly, styles: _Styles, unseen: Unseen) -> None:
        self._assembly = assembly
        self._styles = styles
        self._unseen = unseen
        self.title: str | None = None

    def blocks(self, story: Any) -> None:
        """Every paragraph and table of a story."""
        for block in _children(story):
            if block.tag == f"{_W}p":
                self._paragraph(block)
            elif block.tag == f"{_W}tbl":
                self._table(block)

    def asides(self, package: Package, main: str, kind: str) -> None:
        """Notes, headers or footers, each text once, after the body: in it they would cut sentences."""
        seen: set[str] = set()
        for name in package.related(main, kind):
            root = package.parse(name)
            self._assembly.hide(*self._unseen.ways(root))
            stories = root.iter(f"{_W}footnote", f"{_W}endnote") if kind.endswith("notes") else [root]
            for story in stories:
                text = "".join(_text(story))
                if text.strip() and text not in seen:
                    seen.add(text)
                    self.blocks(story)

    def _paragraph(self, paragraph: Any) -> None:
        boxes: list[Any] = []
        text = "".join(_text(paragraph, boxes))
        level = self._styles.level(paragraph)
        if level:
            title = " ".join(text.split())
            self.title = self.title or title
            self._assembly.add(BlockKind.HEADING, title, level=level)
        elif self._styles.in_list(paragraph):
            self._assembly.add(BlockKind.LIST_ITEM, f"- {text.strip()}" if text.strip() else "")
        else:
            self._assembly.add(BlockKind.PARAGRAPH, text)
        for box in boxes:
            self.blocks(box)

    def _table(self, table: Any) -> None:
        rows = [row for row in _children(table) if row.tag == f"{_W}tr"]
        cells = [[cell for cell in _children(row) if cell.tag == f"{_W}tc"] for row in rows]
        if all(len(row) <= 1 for row in cells):  # a frame around text
            for row in cells:
                for cell in row:
                    self.blocks(cell)
            return
        marked = bool(rows) and rows[0].find(f"{_W}trPr/{_W}tblHeader") is not None
        texts = [[_cell_text(cell) for cell in row] for row in cells]
        self._assembly.table(texts, header=True if marked else None)


def _children(story: Any) -> Iterator[Any]:
    """The blocks of a story, with content controls, insertions and alternatives opened."""
    stack = [iter(story)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif child.tag in (f"{_W}sdt", f"{_W}sdtContent", f"{_W}ins", f"{_W}moveTo", f"{_W}customXml", f"{_W}smartTag"):
            stack.append(iter(child))
        elif child.tag == f"{_MC}AlternateContent":
            stack.append(iter(_alternative(child)))
        else:
            yield child


def _text(element: Any, boxes: list[Any] | None = None) -> Iterator[str]:
    """The visible text of an element, in order; text boxes are put aside where `boxes` is given."""
    for child in element:
        tag = child.tag
        name = tag.removeprefix(_W)
        if tag == f"{_W}t":
            yield child.text or ""
        elif tag in _SKIPPED:
            continue
        elif tag == f"{_W}txbxContent" and boxes is not None:
            boxes.append(child)
        elif name in _GLYPHS:
            yield _GLYPHS[name]
        elif tag == f"{_MC}AlternateContent":
            yield from _text(_alternative(child), boxes)
        else:
            yield from _text(child, boxes)  # depth is bounded by the parser
            if tag == f"{_W}p":
                yield "\n"


def _cell_text(cell: Any) -> str:
    return "".join(_text(cell))


def _alternative(element: Any) -> Any:
    """The first choice of the same content in several forms."""
    choice = element.find(f"{_MC}Choice")
    fallback = element.find(f"{_MC}Fallback")
    return choice if choice is not None else fallback if fallback is not None else ()


def _value(element: Any) -> str:
    return "" if element is None else str(element.get(f"{_W}val", ""))
