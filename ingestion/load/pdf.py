"""PDF by pypdfium2: pages with their numbers, paragraphs by the gaps between lines, headings by size and weight.

The text is PDFium's, in its order. Where a line ends in a hyphen PDFium gives U+FFFE: it becomes a hyphen again, or
nothing where the joined word stands elsewhere in the same document.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import dataclasses
import itertools
import pathlib
import re
import statistics
from collections.abc import Iterator, Sequence

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load.assembly import Assembly, Limits, too_long
from ingestion.load.pdf_unseen import Watch
from ingestion.load.registry import Format

_BROKEN_WORD = re.compile(r"(\w*)\ufffe\s*(\w*)")
_BULLET = re.compile(r"[•▪◦●■□➢❖·‣\u2043]|[-\u2013*]\s|\(?\d{1,2}[.)]\s|\([a-z]{1,4}\)\s")
_AMOUNT = re.compile(r"[$€£]|\d,\d{3}|\d%|\.{4}")
_WORD = re.compile(r"[^\W\d_]{3}")

_PARAGRAPH_GAP = 1.35  # times the page's usual distance of lines; prose is set at 1.0, paragraphs apart at 1.5 to 2
_BREAK_GAP = 1.1  # times the usual distance, with another sign of a break beside it
_INDENT = 0.8  # times the line's height
_BOLD = 600  # of 100 to 900, as PDFium estimates it from the stem; regular faces give 300 to 450
_LARGER = 1.15  # times the height of the body's letters
_MUCH_LARGER = 1.4
_MAX_HEADING_CHARS = 120
_MAX_HEADING_LINES = 2
_RUNNING_HEAD = 3  # pages; what stands on as many is no heading but a running head
_PROSE_CHARS = 60  # a line as long is no row of labels


@dataclasses.dataclass(slots=True)
class _Line:
    """One line as extracted; sizes in points, up is greater."""

    text: str
    left: float = 0.0
    bottom: float = 0.0
    height: float = 0.0  # 0 where the page gives no geometry
    bold: bool = False  # at its first and its last character


@dataclasses.dataclass(slots=True)
class _Sheet:
    """A page as extracted; None for lines where it can't be read."""

    number: int
    lines: list[_Line] | None
    reason: str = ""
    hidden: tuple[str, ...] = ()  # ways in which some of its text is


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a PDF.

    Raises:
        DocumentError: `encrypted`, `malformed`, `too_long`; `no_text` where no page holds text.
    """
    assembly = Assembly(limits)
    with contextlib.closing(_open(path)) as document:
        sheets = _sheets(document, limits)
        title = document.get_metadata_value("Title")
    words = _words(sheets)
    body = _body_height(sheets)
    running = _running_heads(sheets)
    for sheet in sheets:
        assembly.begin_page(sheet.number)
        assembly.hide(*sheet.hidden, page=sheet.number)
        if sheet.lines is None:
            message = f"page {sheet.number} can't be read: {sheet.reason}"
            assembly.warn("page_unreadable", message, page=sheet.number)
        elif not sheet.lines:
            assembly.warn("page_without_text", f"page {sheet.number} holds no text", page=sheet.number)
        for paragraph in _paragraphs(sheet.lines or []):
            text = "\n".join(line.text for line in paragraph)
            level = _heading_level(paragraph, text, body=body, running=running)
            kind = BlockKind.HEADING if level else BlockKind.PARAGRAPH
            if not level and _BULLET.match(text):
                kind = BlockKind.LIST_ITEM
            assembly.add(kind, _mend_words(text, words), level=level)
        assembly.end_page()
    if all(not sheet.lines for sheet in sheets):
        raise DocumentError(_no_text(sheets), code="no_text")
    return assembly.loaded(title=_sensible_title(title), media_type=Format.PDF.media_type)


def _open(path: pathlib.Path) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if error.err_code in (pdfium_c.FPDF_ERR_PASSWORD, pdfium_c.FPDF_ERR_SECURITY):
            raise DocumentError("the PDF is encrypted and needs a password", code="encrypted") from error
        raise DocumentError("the PDF is damaged: it can't be opened", code="malformed") from error


def _sheets(document: pdfium.PdfDocument, limits: Limits) -> list[_Sheet]:
    """The lines of every page."""
    count = len(document)
    if count == 0:
        raise DocumentError("the PDF is damaged: it has no page", code="malformed")
    if count > limits.max_pages:
        raise too_long("pages", limits.max_pages, "FOOTNOTE_MAX_PAGES")
    sheets: list[_Sheet] = []
    chars = 0
    watch = Watch()
    for index in range(count):
        try:
            sheet = _sheet(document, index, watch)
        except pdfium.PdfiumError as error:
            sheets.append(_Sheet(number=index + 1, lines=None, reason=str(error)))
            continue
        sheets.append(sheet)
        chars += sum(len(line.text) for line in sheet.lines or [])
        if chars > limits.max_text_chars:
            raise too_long("characters", limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
    return sheets


def _sheet(document: pdfium.PdfDocument, index: int, watch: Watch) -> _Sheet:
    with contextlib.closing(document[index]) as page, contextlib.closing(page.get_textpage()) as textpage:
        count = textpage.count_chars()
        if count <= 0:
            return _Sheet(number=index + 1, lines=[])
        text = textpage.get_text_range(0, count)
        pieces = text.split("\r\n")
        if len(text) != count:  # characters and text do not run in parallel: do without geometry
            return _Sheet(number=index + 1, lines=[_Line(piece) for piece in pieces if piece.strip()])
        lines = list(_measured(textpage, pieces))
        return _Sheet(number=index + 1, lines=lines, hidden=watch.hidden(page, textpage, text))


def _measured(textpage: pdfium.PdfTextPage, pieces: Sequence[str]) -> Iterator[_Line]:
    """The lines that say something, with their geometry."""
    box = pdfium_c.FS_RECTF()
    place = ctypes.byref(box)
    at = 0
    for piece in pieces:
        said = piece.strip()
        if said:
            first = at + piece.index(said[0])
            last = first + len(said) - 1
            line = _Line(said)
            if pdfium_c.FPDFText_GetLooseCharBox(textpage, first, place):
                line.left, line.bottom, line.height = box.left, box.bottom, abs(box.top - box.bottom)
            line.bold = (
                pdfium_c.FPDFText_GetFontWeight(textpage, first) >= _BOLD
                and pdfium_c.FPDFText_GetFontWeight(textpage, last) >= _BOLD
            )
            yield line
        at += len(piece) + 2


def _paragraphs(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    """Lines that belong together, in the order given."""
    leading = _leading(lines)
    paragraph: list[_Line] = []
    for line in lines:
        if paragraph and _breaks(paragraph, line, leading):
            yield paragraph
            paragraph = []
        paragraph.append(line)
    if paragraph:
        yield paragraph


def _leading(lines: Sequence[_Line]) -> float:
    """The usual distance of two lines; 0 where the page gives none."""
    gaps = [
        above.bottom - below.bottom
        for above, below in itertools.pairwise(lines)
        if 0 < above.bottom - below.bottom < 3 * max(above.height, below.height)
    ]
    return statistics.median_low(gaps) if gaps else 0.0


def _breaks(paragraph: Sequence[_Line], line: _Line, leading: float) -> bool:
    """Whether a new paragraph begins with this line."""
    above = paragraph[-1]
    if not leading or not line.height or not above.height:
        return False
    gap = above.bottom - line.bottom
    if gap > _PARAGRAPH_GAP * leading or _BULLET.match(line.text):
        return True
    if gap < -0.5 * leading:  # up: another column, or a box; a sentence may go on there
        return not line.text[0].islower() or above.text.endswith((".", ":", "?", "!"))
    if max(line.height, above.height) > _LARGER * min(line.height, above.height):
        return True
    if line.bold != above.bold and max(len(line.text), len(above.text)) >= _PROSE_CHARS:
        return True
    indented = line.left - above.left > _INDENT * line.height
    return (
        (gap > _BREAK_GAP * leading or indented)
        and above.text.endswith((".", ":", "?", "!"))
        and (indented or not line.text[0].islower())
    )


def _heading_level(paragraph: Sequence[_Line], text: str, *, body: float, running: set[str]) -> int:
    """1 for much larger letters, 2 for larger or bold ones on few lines of words; 0 for what is no heading."""
    if len(paragraph) > _MAX_HEADING_LINES or len(text) > _MAX_HEADING_CHARS or not body:
        return 0
    if text.endswith((".", ",", ";", ":")) or text.startswith("(") or _AMOUNT.search(text) or text in running:
        return 0
    letters = sum(map(str.isalpha, text))
    if not _WORD.search(text) or letters < 0.6 * len(text.replace(" ", "")):
        return 0
    height = min(line.height for line in paragraph)
    if height > _MUCH_LARGER * body:
        return 1
    return 2 if height > _LARGER * body or all(line.bold for line in paragraph) else 0


def _body_height(sheets: Sequence[_Sheet]) -> float:
    """The height of most of the document's letters; 0 where most are bold, or nothing is known."""
    weights: collections.Counter[float] = collections.Counter()
    bold = total = 0
    for sheet in sheets:
        for line in sheet.lines or []:
            weights[round(line.height, 1)] += len(line.text)
            total += len(line.text)
            bold += len(line.text) if line.bold else 0
    return weights.most_common(1)[0][0] if weights and bold < total / 2 else 0.0


def _running_heads(sheets: Sequence[_Sheet]) -> set[str]:
    """Lines that stand on several pages."""
    seen = collections.Counter(text for sheet in sheets for text in {line.text for line in sheet.lines or []})
    return {text for text, pages in seen.items() if pages >= _RUNNING_HEAD}


def _words(sheets: Sequence[_Sheet]) -> set[str]:
    """The document's words in lower case; empty where no word is broken."""
    lines = [line.text for sheet in sheets for line in sheet.lines or []]
    if not any("\ufffe" in line for line in lines):
        return set()
    return {word for line in lines for word in re.findall(r"(?<![\w\ufffe])\w+(?![\w\ufffe])", line.lower())}


def _mend_words(text: str, words: set[str]) -> str:
    """The text with hyphens for U+FFFE, or without where the document knows the joined word."""
    if "\ufffe" not in text:
        return text
    return _BROKEN_WORD.sub(
        lambda found: found[1] + ("" if (found[1] + found[2]).lower() in words else "-") + found[2], text
    )


def _no_text(sheets: Sequence[_Sheet]) -> str:
    unreadable = sum(sheet.lines is None for sheet in sheets)
    if unreadable == len(sheets):
        return f"none of the PDF's {unreadable} pages can be read"
    return f"no page of the PDF's {len(sheets)} holds text: is it scanned? OCR is not built in yet"


def _sensible_title(title: str | None) -> str | None:
    """The title in the metadata, unless a program put its own name or the file's there."""
    title = re.sub(r"^Microsoft (?:Word|PowerPoint|Excel) - ", "", title or "").strip()
    if re.search(r"\.(?:docx?|pptx?|xlsx?|indd|tex|dvi|pdf|qxd|rtf|html?)$", title, re.IGNORECASE) or not _WORD.search(
        title
    ):
        return None
    return None if title.lower() in ("untitled", "document") else title
