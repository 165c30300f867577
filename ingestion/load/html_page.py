"""HTML: what a reader sees of a page, as headings, paragraphs, list items, tables and preformatted text."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any, Final

from lxml import etree

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from app.text.canonical import canonical
from ingestion.load.assembly import Assembly, Limits, too_long
from ingestion.load.encoding import decode
from ingestion.load.html_unseen import Unseen
from ingestion.load.registry import Format

_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_DROPPED: Final = frozenset(
    [
        "script",
        "style",
        "template",
        "noscript",
        "nav",
        "iframe",
        "object",
        "embed",
        "applet",
        "audio",
        "video",
        "canvas",
        "svg",
        "math",
        "select",
        "datalist",
        "button",
        "head",
        "title",
        "meta",
        "link",
        "base",
        "map",
        "area",
    ]
)
_BLOCKS: Final = frozenset(
    [
        "html",
        "body",
        "address",
        "article",
        "aside",
        "blockquote",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "legend",
        "li",
        "main",
        "ol",
        "optgroup",
        "p",
        "search",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
        "caption",
        "menu",
        "dir",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "pre",
    ]
)
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([\w:-]+)", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\n\r\f\v]+")  # as HTML collapses it
_BLANK_LINE = re.compile(r"\n\s*\n")  # two line breaks in a row: the old way to part paragraphs
_MAX_COLUMNS = 1_000  # that a cell may span; what claims more does it to harm


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read an HTML page. Raises DocumentError: `no_text`, `too_long`."""
    if path.stat().st_size > 16 * limits.max_text_chars:
        raise too_long("characters", limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
    raw = path.read_bytes()
    found = _CHARSET.search(raw[:8192])
    assembly = Assembly(limits)
    title = add_page(assembly, decode(raw, declared=found[1].decode("ascii") if found else None))
    return assembly.loaded(title=title, media_type=Format.HTML.media_type)


def add_page(assembly: Assembly, source: str) -> str | None:
    """Put the page's visible text into the assembly; gives its title.

    Raises:
        DocumentError: `malformed`: elements nested deeper than 2,000, where the parser loses text.
    """
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(canonical(source).encode(), parser)
    except etree.XMLSyntaxError:
        return None  # nothing in it that is an element or text
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise DocumentError("the page nests its elements deeper than 2,000", code="malformed")
    if root is None:
        return None
    assembly.hide(*Unseen(root).ways(source))
    _Walk(assembly).page(root)
    title = root.find(".//title")
    return None if title is None else title.text


class _Walk:
    """Goes through a page in reading order; text gathers until a block ends."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly
        self._inline: list[str] = []
        self._kind = BlockKind.PARAGRAPH
        self._level = 0
        self._mark = ""  # of the list item that begins
        self._lists: list[list[int | None]] = []  # of each open list: the number of its last item; None for bullets

    def page(self, root: Any) -> None:
        """The whole tree, without recursion: pages nest as deep as they like."""
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if event == "start":
                if not self._enter(element):
                    walk.skip_subtree()
            else:
                self._leave(element)
        self._flush()

    def _enter(self, element: Any) -> bool:
        """Do what an element's beginning means; gives whether what it holds is to be walked through."""
        tag = element.tag
        if tag in _DROPPED or _hidden(element):
            return False
        if tag in _BLOCKS or tag == "table":
            self._flush()
        if tag == "br":
            self._inline.append("\n")
        elif tag == "pre":
            self._assembly.add(BlockKind.CODE, _preformatted(element))
            return False
        elif tag == "table" and not _is_layout(element):
            self._table(element)
            return False
        self._open(element, tag)
        self._say(element.text)
        return True

    def _leave(self, element: Any) -> None:
        tag = element.tag
        if not (tag in _DROPPED or _hidden(element)):
            if tag in _BLOCKS or tag == "table":
                self._flush()
            self._close(tag)
        self._say(element.tail)

    def _say(self, text: str | None) -> None:
        if text:
            self._inline.append(_SPACE.sub(" ", text))

    def _open(self, element: Any, tag: str) -> None:
        if tag in _HEADINGS:
            self._kind, self._level = BlockKind.HEADING, _HEADINGS[tag]
        elif tag in ("ul", "ol", "menu", "dir"):
            first = str(element.get("start", "1")) if tag == "ol" else ""
            self._lists.append([int(first) - 1 if re.fullmatch(r"-?\d{1,9}", first) else None])
        elif tag == "li":
            counter = self._lists[-1] if self._lists else [None]
            if counter[0] is not None:
                counter[0] += 1
            self._mark = "- " if counter[0] is None else f"{counter[0]}. "

    def _close(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._kind, self._level = BlockKind.PARAGRAPH, 0
        elif tag in ("ul", "ol", "menu", "dir") and self._lists:
            self._lists.pop()
        elif tag == "li":
            self._mark = ""

    def _flush(self) -> None:
        text = "".join(self._inline)
        self._inline.clear()
        for part in _BLANK_LINE.split(text):
            self._part("\n".join(line for line in (" ".join(line.split()) for line in part.split("\n")) if line))

    def _part(self, text: str) -> None:
        if not text:
            return
        if self._kind is BlockKind.HEADING:
            self._assembly.add(BlockKind.HEADING, text.replace("\n", " "), level=self._level)
        elif self._mark:
            self._assembly.add(BlockKind.LIST_ITEM, self._mark + text)
            self._mark = ""
        else:
            self._assembly.add(BlockKind.PARAGRAPH, text)

    def _table(self, table: Any) -> None:
        caption = table.find("caption")
        if caption is not None:
            self._assembly.add(BlockKind.PARAGRAPH, _flat(caption))
        rows: list[list[str]] = []
        header: bool | None = None
        for row in table.iter("tr"):
            if _hidden(row):
                continue
            cells = [cell for cell in row if cell.tag in ("td", "th") and not _hidden(cell)]
            if not rows and cells and (all(cell.tag == "th" for cell in cells) or row.getparent().tag == "thead"):
                header = True
            rows.append([text for cell in cells for text in _spanned(cell)])
        self._assembly.table(_without_empty_columns(rows), header=header)


def _hidden(element: Any) -> bool:
    """Whether a reader of the page does not see it."""
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    style = element.get("style")
    return style is not None and bool(_HIDDEN_STYLE.search(style))


def _is_layout(table: Any) -> bool:
    """Whether a table places blocks on the page, and is no table of data."""
    for _ in table.iter("table", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "pre", "form", "blockquote"):
        if _ is not table:
            return True
    rows = list(table.iter("tr"))
    return all(sum(cell.tag in ("td", "th") for cell in row) <= 1 for row in rows)


def _flat(element: Any) -> str:
    """The visible text of an element in one line."""
    return " ".join("".join(_visible(element)).split())


def _visible(element: Any) -> Iterator[str]:
    walk = etree.iterwalk(element, events=("start", "end"))
    for event, inner in walk:
        if event == "end":
            yield (inner.tail or "") if inner is not element else ""
        elif inner is not element and (inner.tag in _DROPPED or _hidden(inner)):
            walk.skip_subtree()
        else:
            yield " " if inner.tag == "br" or inner.tag in _BLOCKS else ""
            yield inner.text or ""


def _spanned(cell: Any) -> list[str]:
    """A cell's text, and an empty one for every further column that it spans."""
    span = str(cell.get("colspan", "1"))
    columns = int(span) if re.fullmatch(r"\d{1,4}", span) else 1
    return [_flat(cell)] + [""] * (min(columns, _MAX_COLUMNS) - 1)


def _without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    """The rows without the columns that hold nothing at all, which space a printed table."""
    used = sorted({column for row in rows for column, cell in enumerate(row) if cell})
    return [[row[column] if column < len(row) else "" for column in used] for row in rows]


def _preformatted(element: Any) -> str:
    """Text with its own line ends."""
    for line_break in element.iter("br"):
        line_break.text = "\n"
    return "".join(element.itertext())
