"""Word, PowerPoint and Excel: files made by the usual libraries, and files made to do harm."""

import datetime as dt
import pathlib
import zipfile

import docx as python_docx
import openpyxl
import pptx as python_pptx
import pytest

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load import docx, pptx, xlsx
from ingestion.load.assembly import Limits
from ingestion.load.registry import LoadFunction

_RELATIONS = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
_RELATION = (
    '<Relationship Id="{}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/{}" Target="{}"/>'
)
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_S = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
_R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'


def _blocks(loaded: Loaded) -> list[tuple[str, str]]:
    return [(block.kind.value, loaded.text[block.start : block.end]) for block in loaded.blocks]


def _package(path: pathlib.Path, main: str, parts: dict[str, str]) -> pathlib.Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("_rels/.rels", _RELATIONS.format(_RELATION.format("r1", "officeDocument", main)))
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _word(path: pathlib.Path, body: str) -> pathlib.Path:
    return _package(
        path, "word/document.xml", {"word/document.xml": f"<w:document {_W}><w:body>{body}</w:body></w:document>"}
    )


def _sheet(path: pathlib.Path, rows: str, strings: str = "") -> pathlib.Path:
    relations = _RELATION.format("s1", "worksheet", "sheet1.xml") + _RELATION.format(
        "s2", "sharedStrings", "strings.xml"
    )
    return _package(
        path,
        "xl/workbook.xml",
        {
            "xl/workbook.xml": f'<workbook {_S} {_R}><sheets><sheet name="One" r:id="s1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _RELATIONS.format(relations),
            "xl/sheet1.xml": f"<worksheet {_S}><sheetData>{rows}</sheetData></worksheet>",
            "xl/strings.xml": f"<sst {_S}>{strings}</sst>",
        },
    )


# Word


def test_a_word_document_keeps_headings_lists_and_tables(tmp_path: pathlib.Path) -> None:
    made = python_docx.Document()
    made.core_properties.title = "The handbook"
    made.add_heading("Chapter", level=1)
    made.add_heading("Section", level=2)
    made.add_paragraph("Some text,").add_run(" more of it\nand a line.")
    made.add_paragraph("an item", style="List Bullet")
    made.add_paragraph("another", style="List Number")
    table = made.add_table(rows=2, cols=2)
    for cell, text in zip(
        (cell for row in table.rows for cell in row.cells), ["Name", "Age", "Ann", "41"], strict=True
    ):
        cell.text = text
    made.add_paragraph("   ")
    made.sections[0].footer.paragraphs[0].text = "Confidential"
    made.save(str(tmp_path / "made.docx"))

    loaded = docx.load(tmp_path / "made.docx", limits=Limits())

    assert loaded.title == "The handbook"
    assert _blocks(loaded) == [
        ("heading", "Chapter"),
        ("heading", "Section"),
        ("paragraph", "Some text, more of it\nand a line."),
        ("list_item", "- an item"),
        ("list_item", "- another"),
        ("table", "Name | Age\nAnn | 41"),
        ("paragraph", "Confidential"),
    ]
    assert [block.level for block in loaded.blocks[:2]] == [1, 2]
    assert loaded.blocks[5].header_end is not None


def test_what_word_shows_is_read_and_what_it_hides_is_not(tmp_path: pathlib.Path) -> None:
    body = (
        "<w:p><w:r><w:t>kept</w:t></w:r><w:ins><w:r><w:t> inserted</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText> deleted</w:delText></w:r></w:del><w:r><w:instrText> PAGE </w:instrText></w:r>"
        "<w:r><w:tab/><w:t>after</w:t><w:noBreakHyphen/><w:t>tab</w:t></w:r></w:p>"
        "<w:sdt><w:sdtContent><w:p><w:r><w:t>in a control</w:t></w:r></w:p></w:sdtContent></w:sdt>"
        "<w:p><w:r><w:pict><w:txbxContent><w:p><w:r><w:t>in a box</w:t></w:r></w:p></w:txbxContent></w:pict></w:r></w:p>"
    )

    loaded = docx.load(_word(tmp_path / "made.docx", body), limits=Limits())

    assert [text for _, text in _blocks(loaded)] == ["kept inserted\tafter-tab", "in a control", "in a box"]


def test_a_table_that_frames_text_is_no_table(tmp_path: pathlib.Path) -> None:
    made = python_docx.Document()
    made.add_table(rows=1, cols=1).rows[0].cells[0].text = "Framed"
    made.save(str(tmp_path / "made.docx"))

    assert _blocks(docx.load(tmp_path / "made.docx", limits=Limits())) == [("paragraph", "Framed")]


# PowerPoint


def test_slides_are_pages_with_titles_lists_tables_and_notes(tmp_path: pathlib.Path) -> None:
    made = python_pptx.Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "Plans"
    slide.placeholders[1].text = "first\nsecond"
    slide.notes_slide.notes_text_frame.text = "Say this aloud."
    made.slides.add_slide(made.slide_layouts[6])
    last = made.slides.add_slide(made.slide_layouts[5])
    last.shapes.title.text = "Figures"
    table = last.shapes.add_table(2, 2, 0, 0, 100, 100).table
    for number, text in enumerate(["Name", "Age", "Ann", "41"]):
        table.cell(number // 2, number % 2).text = text
    made.save(str(tmp_path / "made.pptx"))

    loaded = pptx.load(tmp_path / "made.pptx", limits=Limits())

    assert [loaded.text[page.start : page.end] for page in loaded.pages] == [
        "Plans\n\n- first\n- second\n\nSay this aloud.",
        "",
        "Figures\n\nName | Age\nAnn | 41",
    ]
    assert [block.kind for block in loaded.blocks if block.level] == [BlockKind.HEADING] * 2
    assert loaded.title == "Plans"
    assert [(warning.code, warning.page) for warning in loaded.warnings] == [("page_without_text", 2)]


# Excel


def test_a_sheet_is_a_heading_and_its_tables(tmp_path: pathlib.Path) -> None:
    made = openpyxl.Workbook()
    sheet = made.active
    assert sheet is not None
    sheet.title = "Staff"
    moment = dt.datetime(2024, 5, 1, 13, 30)  # noqa: DTZ001 - cells know no zones
    for row in (
        ["Name", "Since", "Share"],
        ["Ann", dt.date(2024, 5, 1), 0.25],
        ["Bob", moment, True],
        [],
        [],
        ["Total", 3],
    ):
        sheet.append(row)
    sheet["C2"].number_format = "0%"
    made.create_sheet("Empty")
    made.save(tmp_path / "made.xlsx")

    loaded = xlsx.load(tmp_path / "made.xlsx", limits=Limits())

    assert _blocks(loaded) == [
        ("heading", "Staff"),
        ("table", "Name | Since | Share\nAnn | 2024-05-01 | 25%\nBob | 2024-05-01 13:30:00 | TRUE"),
        ("table", "Total | 3"),
    ]
    assert loaded.blocks[1].header_end is not None


def test_cells_of_every_kind_are_read(tmp_path: pathlib.Path) -> None:
    rows = (
        '<row r="3"><c r="B3" t="s"><v>0</v></c><c r="C3" t="inlineStr"><is><t>inline</t></is></c>'
        '<c r="E3"><v>0.1000000000000000055</v></c><c r="F3" t="e"><v>#N/A</v></c><c r="G3" t="s"><v>99</v></c></row>'
    )
    strings = "<si><r><t>rich </t></r><r><t>text</t></r><rPh><t>reading</t></rPh></si>"

    loaded = xlsx.load(_sheet(tmp_path / "made.xlsx", rows, strings), limits=Limits())

    assert _blocks(loaded)[1] == ("table", "rich text | inline |  | 0.1 | #N/A")


def test_a_million_empty_rows_and_cells_far_apart_cost_nothing(tmp_path: pathlib.Path) -> None:
    rows = '<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>2</v></c></row>'
    rows += (
        "".join(f'<row r="{number}"/>' for number in range(2, 50_000)) + '<row r="1048576"><c r="A1"><v>3</v></c></row>'
    )

    loaded = xlsx.load(_sheet(tmp_path / "made.xlsx", rows), limits=Limits())

    assert _blocks(loaded)[1:] == [("table", "1 | 2"), ("paragraph", "3")]


def test_a_workbook_with_too_many_cells_is_refused(tmp_path: pathlib.Path) -> None:
    rows = "<row>" + "<c><v>1</v></c>" * 200 + "</row>"

    with pytest.raises(DocumentError, match="FOOTNOTE_MAX_CELLS") as raised:
        xlsx.load(_sheet(tmp_path / "made.xlsx", rows), limits=Limits(max_cells=100))

    assert raised.value.code == "too_long"


# Harm

LOADERS: list[tuple[LoadFunction, str]] = [
    (docx.load, "word/document.xml"),
    (pptx.load, "ppt/presentation.xml"),
    (xlsx.load, "xl/workbook.xml"),
]


@pytest.mark.parametrize(("load", "main"), LOADERS)
def test_a_part_that_unpacks_to_far_more_than_it_is_is_refused(
    tmp_path: pathlib.Path, load: LoadFunction, main: str
) -> None:
    path = _package(tmp_path / "bomb", main, {main: "<a>" + " " * (40 << 20) + "</a>"})

    with pytest.raises(DocumentError, match="times its size") as raised:
        load(path, limits=Limits())

    assert raised.value.code == "too_long"


@pytest.mark.parametrize(("load", "main"), LOADERS)
def test_all_parts_together_have_a_limit(tmp_path: pathlib.Path, load: LoadFunction, main: str) -> None:
    path = _package(tmp_path / "large", main, {main: "<a>" + "x" * 5_000 + "</a>"})

    with pytest.raises(DocumentError) as raised:
        load(path, limits=Limits(max_uncompressed_bytes=4_000))

    assert raised.value.code == "too_long"


@pytest.mark.parametrize(("load", "main"), LOADERS)
@pytest.mark.parametrize(
    "content",
    [
        "no XML at all",
        "<a><b></a>",
        "<a>" * 100_000,
        "",
        "<!DOCTYPE a [<!ENTITY x 'lol'><!ENTITY y '&x;&x;&x;&x;&x;&x;&x;&x;'>]>" + "<a>&y;</a>",
    ],
)
def test_parts_that_are_damaged_or_hostile_fail_with_a_code(
    tmp_path: pathlib.Path, load: LoadFunction, main: str, content: str
) -> None:
    with pytest.raises(DocumentError) as raised:
        load(_package(tmp_path / "made", main, {main: content}), limits=Limits())

    assert raised.value.code in {"malformed", "no_text"}


def test_entities_are_never_expanded(tmp_path: pathlib.Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    content = (
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "{secret.as_uri()}"><!ENTITY y "grown">]><w:document {_W}><w:body>'
        "<w:p><w:r><w:t>before &x; &y; after</w:t></w:r></w:p></w:body></w:document>"
    )

    loaded = docx.load(
        _package(tmp_path / "made.docx", "word/document.xml", {"word/document.xml": content}), limits=Limits()
    )

    assert "secret" not in loaded.text
    assert "grown" not in loaded.text


@pytest.mark.parametrize("load", [load for load, _ in LOADERS])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"PK\x03\x04 and then nothing", "malformed"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "encrypted"),
    ],
)
def test_a_file_that_is_no_zip_says_what_it_is(
    tmp_path: pathlib.Path, load: LoadFunction, content: bytes, code: str
) -> None:
    path = tmp_path / "made"
    path.write_bytes(content)

    with pytest.raises(DocumentError) as raised:
        load(path, limits=Limits())

    assert raised.value.code == code


def test_bytes_that_are_changed_on_the_way_are_a_damaged_file(tmp_path: pathlib.Path) -> None:
    path = _word(tmp_path / "made.docx", "<w:p><w:r><w:t>" + "word " * 2_000 + "</w:t></w:r></w:p>")
    raw = bytearray(path.read_bytes())
    middle = raw.index(b"word/document.xml") + 60
    raw[middle : middle + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(raw))

    with pytest.raises(DocumentError) as raised:
        docx.load(path, limits=Limits())

    assert raised.value.code == "malformed"
