"""Workbooks: a sheet is a heading and tables; blank rows part tables. Only cells that exist are looked at."""

from __future__ import annotations

import datetime as dt
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load.assembly import Assembly, Limits, too_long
from ingestion.load.marking import says_something
from ingestion.load.package import Package
from ingestion.load.registry import Format

_S: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION_ID: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_CELL = re.compile(r"([A-Z]{1,3})(\d{1,7})$")
_DATE_IDS: Final = frozenset([*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)])  # ECMA-376, 18.8.30
_PERCENT_IDS: Final = frozenset([9, 10])
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]')  # what a number format prints as it is
_DATE_CODE = re.compile(r"[ymdhs]", re.IGNORECASE)
_TRUE: Final = ("1", "true")
_MAX_GAP = 30  # empty cells that are kept between two cells of a row


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read a workbook. Raises DocumentError: `encrypted`, `malformed`, `no_text`, `too_long`."""
    assembly = Assembly(limits)
    with Package(path, limits=limits) as package:
        main = package.main()
        root = package.parse(main)
        if root is None:
            raise DocumentError("the file is damaged: it has no workbook", code="malformed")
        properties = root.find(f"{_S}workbookPr")
        relations = package.relations(main)
        cells = _Cells(
            shared=_shared_strings(package, main, limits),
            formats=_formats(package, main),
            hiding=_hiding(package, main),
            epoch=1904 if properties is not None and properties.get("date1904") in ("1", "true") else 1900,
        )
        budget = _Budget(limits.max_cells)
        empty = True
        for sheet in root.iter(f"{_S}sheet"):
            kind, name = relations.get(sheet.get(_RELATION_ID, ""), ("", ""))
            if kind == "worksheet":
                cells.shown = sheet.get("state", "visible") == "visible"
                empty &= not _add_sheet(assembly, sheet.get("name", ""), cells.tables(package, name, budget))
        title = package.title()
    if says_something("".join(cells.hidden)):
        assembly.hide("cells whose format hides what they hold")
    if says_something("".join(cells.folded)):
        assembly.hide("hidden sheets, rows or columns")
    if empty:
        raise DocumentError("the workbook holds no cell that says something", code="no_text")
    return assembly.loaded(title=title, media_type=Format.XLSX.media_type)


def _add_sheet(assembly: Assembly, name: str, tables: Iterator[list[list[str]]]) -> bool:
    """Heading and tables of a sheet that says something; gives whether it does."""
    said = False
    for table in tables:
        if not said:
            assembly.add(BlockKind.HEADING, name, level=1)
            said = True
        if len(table) == 1 and len(table[0]) == 1:
            assembly.add(BlockKind.PARAGRAPH, table[0][0])
        else:
            assembly.table(table)
    return said


class _Budget:
    """Counts cells down."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit

    def take(self, cells: int) -> None:
        """Raises DocumentError `too_long` when nothing is left."""
        self._left -= cells
        if self._left < 0:
            raise too_long("cells", self._limit, "FOOTNOTE_MAX_CELLS")


class _Cells:
    """Turns cells into what a reader of the sheet sees, as nearly as that can be had without Excel."""

    def __init__(self, *, shared: Sequence[str], formats: Sequence[str], hiding: frozenset[str], epoch: int) -> None:
        self._shared = shared
        self._formats = formats  # of each cell style: date, percent or nothing
        self._hiding = hiding  # styles
        self.hidden: list[str] = []  # what cells of these say
        self.shown = True  # the sheet that is read
        self.folded: list[str] = []  # what cells of hidden sheets, rows and columns say
        self._columns: list[range] = []  # the hidden ones of the sheet
        self._epoch = dt.datetime(1904, 1, 1) if epoch == 1904 else dt.datetime(1899, 12, 30)  # noqa: DTZ001, PLR2004

    def tables(self, package: Package, name: str, budget: _Budget) -> Iterator[list[list[str]]]:
        """The tables of a sheet: rows without a blank row between them, from their first used column on."""
        rows: list[dict[int, str]] = []
        last_number = 0
        self._columns = []
        for row in package.rows(name, f"{_S}col", f"{_S}row"):
            if row.tag == f"{_S}col":
                self._hide(row)
                continue
            number = int(row.get("r", "0")) if row.get("r", "0").isdigit() else 0
            number = number or last_number + 1
            budget.take(len(row))
            cells = self._row(row)
            if not cells:
                continue
            if rows and number > last_number + 1:
                yield _grid(rows)
                rows = []
            rows.append(cells)
            last_number = number
        if rows:
            yield _grid(rows)

    def _hide(self, columns: Any) -> None:
        """Note the columns that a definition hides; they stand before the rows."""
        first, last = columns.get("min", ""), columns.get("max", "")
        if columns.get("hidden") in _TRUE and first.isdigit() and last.isdigit():
            self._columns.append(range(int(first), int(last) + 1))

    def _row(self, row: Any) -> dict[int, str]:
        """The cells of a row that say something, by column counted from 1."""
        found: dict[int, str] = {}
        column = 0
        folded = not self.shown or row.get("hidden") in _TRUE
        for cell in row:
            if cell.tag != f"{_S}c":
                continue
            place = _CELL.match(cell.get("r", ""))
            column = _column(place[1]) if place else column + 1
            text = " ".join(self._text(cell).split())
            if text:
                found[column] = text
                if cell.get("s") in self._hiding:
                    self.hidden.append(text)
                if folded or any(column in each for each in self._columns):
                    self.folded.append(text)
        return found

    def _text(self, cell: Any) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = cell.find(f"{_S}is")
            return "" if inline is None else _rich_text(inline)
        value = cell.findtext(f"{_S}v") or ""
        if kind == "s":
            return self._shared[int(value)] if value.isdigit() and int(value) < len(self._shared) else ""
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        return self._number(value, cell.get("s", "0")) if kind == "n" and value else value

    def _number(self, value: str, style: str) -> str:
        form = self._formats[int(style)] if style.isdigit() and int(style) < len(self._formats) else ""
        try:
            number = float(value)
        except ValueError:
            return value
        if form == "date":
            return self._date(number)
        if form == "percent":
            return f"{number * 100:.10g}%"
        return f"{number:.15g}" if "." in value or "e" in value.lower() else value  # as Excel: 15 digits

    def _date(self, number: float) -> str:
        try:
            moment = self._epoch + dt.timedelta(seconds=round(number * 86_400))
        except OverflowError:
            return f"{number:.15g}"
        if number < 1:
            return moment.time().isoformat()
        return moment.date().isoformat() if moment.time() == dt.time() else moment.isoformat(sep=" ")


def _grid(rows: Sequence[dict[int, str]]) -> list[list[str]]:
    """Rows as lists from the table's first used column on; wide gaps are narrowed."""
    used = sorted({column for row in rows for column in row})
    columns: list[int] = []
    for column in used:
        if columns and 1 < column - columns[-1] <= _MAX_GAP:
            columns.extend(range(columns[-1] + 1, column))
        columns.append(column)
    # A row ends with its last cell: rows of one cell cost one cell, however wide the table is.
    return [[row.get(column, "") for column in columns if column <= max(row)] for row in rows]


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _shared_strings(package: Package, main: str, limits: Limits) -> list[str]:
    strings: list[str] = []
    chars = 0
    for name in package.related(main, "sharedStrings"):
        for entry in package.rows(name, f"{_S}si"):
            strings.append(_rich_text(entry))
            chars += len(strings[-1])
            if chars > limits.max_text_chars:
                raise too_long("characters", limits.max_text_chars, "FOOTNOTE_MAX_TEXT_CHARS")
    return strings


def _rich_text(entry: Any) -> str:
    """The text of a string, without the phonetic reading beside it."""
    pieces = entry.iter(f"{_S}t")
    return "".join(piece.text or "" for piece in pieces if piece.getparent().tag != f"{_S}rPh")


def _formats(package: Package, main: str) -> list[str]:
    """For each cell style whether its numbers are dates or percentages."""
    for name in package.related(main, "styles"):
        root = package.parse(name)
        own = {entry.get("numFmtId"): entry.get("formatCode", "") for entry in root.iter(f"{_S}numFmt")}
        styles = root.find(f"{_S}cellXfs")
        return [_form(style.get("numFmtId", "0"), own) for style in (styles if styles is not None else ())]
    return []


def _form(identity: str, own: dict[str, str]) -> str:
    code = own.get(identity)
    number = int(identity) if identity.isdigit() else 0
    if code is None:
        return "date" if number in _DATE_IDS else "percent" if number in _PERCENT_IDS else ""
    bare = _LITERAL.sub("", code.partition(";")[0])
    return "percent" if "%" in bare else "date" if _DATE_CODE.search(bare) else ""


def _hiding(package: Package, main: str) -> frozenset[str]:
    """The cell styles that show nothing: white letters on no fill, or a number format without a shown part."""
    for name in package.related(main, "styles"):
        root = package.parse(name)
        fonts = [_is_white(font.find(f"{_S}color")) for font in root.iterfind(f"{_S}fonts/{_S}font")]
        blank = {each.get("numFmtId") for each in root.iter(f"{_S}numFmt") if each.get("formatCode", "") == ";;;"}
        found: set[str] = set()
        for number, style in enumerate(root.iterfind(f"{_S}cellXfs/{_S}xf")):
            font = style.get("fontId", "0")
            white = font.isdigit() and int(font) < len(fonts) and fonts[int(font)]
            if (white and style.get("fillId", "0") == "0") or style.get("numFmtId") in blank:
                found.add(str(number))
        return frozenset(found)
    return frozenset()


def _is_white(colour: Any) -> bool:
    return colour is not None and (
        colour.get("rgb", "").upper() in ("FFFFFFFF", "00FFFFFF") or colour.get("theme") == "0"
    )
