"""PDF, with files written by hand."""

import pathlib

import pytest

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load import pdf
from ingestion.load.assembly import Limits


def _pdf(*contents: str, title: str = "", encrypt: bool = False) -> bytes:
    """A PDF with one page for each content stream; F1 is Helvetica, F2 its bold face."""
    bold = "/FontDescriptor << /Type /FontDescriptor /FontName /Helvetica-Bold /Flags 32 /StemV 140 /ItalicAngle 0"
    bold += " /Ascent 718 /Descent -207 /CapHeight 718 /FontBBox [-170 -228 1003 962] >>"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding {bold} >>",
        f"<< /Title ({title}) >>",
        "<< /Filter /Standard /V 1 /R 2 /O (" + "o" * 32 + ") /U (" + "u" * 32 + ") /P -4 >>",
    ]
    kids = []
    for content in contents:
        page = len(objects) + 1
        kids.append(f"{page} 0 R")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {page + 1} 0 R"
            " /Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    out = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    trailer = f"/Size {len(objects) + 1} /Root 1 0 R /Info 5 0 R" + (" /Encrypt 6 0 R /ID [(a) (a)]" if encrypt else "")
    end = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}trailer\n<< {trailer} >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + end.encode()


def _lines(*lines: tuple[int, str], font: str = "F1", size: int = 10) -> str:
    """Text at heights from the bottom of the page."""
    return "\n".join(f"BT /{font} {size} Tf 72 {height} Td ({text}) Tj ET" for height, text in lines)


def _load(folder: pathlib.Path, content: bytes, limits: Limits | None = None) -> Loaded:
    path = folder / "made.pdf"
    path.write_bytes(content)
    return pdf.load(path, limits=limits or Limits())


def _blocks(loaded: Loaded) -> list[tuple[str, str]]:
    return [(block.kind.value, loaded.text[block.start : block.end]) for block in loaded.blocks]


def test_each_page_has_its_number_and_its_text(tmp_path: pathlib.Path) -> None:
    loaded = _load(tmp_path, _pdf(_lines((700, "First page.")), _lines((700, "Second page.")), title="Report of May"))

    assert [(page.number, loaded.text[page.start : page.end]) for page in loaded.pages] == [
        (1, "First page."),
        (2, "Second page."),
    ]
    assert loaded.title == "Report of May"
    assert loaded.media_type == "application/pdf"


def test_a_gap_between_lines_parts_paragraphs(tmp_path: pathlib.Path) -> None:
    content = _lines(
        (700, "A first line that goes on"),
        (688, "in a second one."),
        (660, "Another paragraph"),
        (648, "with two lines."),
    )

    loaded = _load(tmp_path, _pdf(content))

    assert _blocks(loaded) == [
        ("paragraph", "A first line that goes on\nin a second one."),
        ("paragraph", "Another paragraph\nwith two lines."),
    ]


def test_larger_letters_make_a_heading_and_bullets_make_list_items(tmp_path: pathlib.Path) -> None:
    body = _lines(
        (650, "The body of the text stands here,"), (638, "in letters of the usual size."), (600, "1. an item")
    )
    content = _lines((700, "Risk factors"), size=18) + "\n" + body

    loaded = _load(tmp_path, _pdf(content))

    kinds = [(block.kind, block.level) for block in loaded.blocks]
    assert kinds == [(BlockKind.HEADING, 1), (BlockKind.PARAGRAPH, 0), (BlockKind.LIST_ITEM, 0)]


def test_a_page_without_text_is_a_warning_and_never_content(tmp_path: pathlib.Path) -> None:
    loaded = _load(tmp_path, _pdf(_lines((700, "Said.")), "", _lines((700, "Said too."))))

    assert [(warning.code, warning.page) for warning in loaded.warnings] == [("page_without_text", 2)]
    assert loaded.text == "Said.\n\nSaid too."
    assert [page.number for page in loaded.pages] == [1, 2, 3]
    assert loaded.pages[1].start == loaded.pages[1].end


def test_a_document_of_pictures_alone_asks_for_ocr(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DocumentError, match="OCR is not built in yet") as raised:
        _load(tmp_path, _pdf("", ""))

    assert raised.value.code == "no_text"


def test_a_hyphen_at_a_line_end_goes_only_where_the_document_knows_the_joined_word(tmp_path: pathlib.Path) -> None:
    content = _lines(
        (700, "The information is here: infor-"), (688, "mation that is true of a third-"), (676, "party service.")
    )

    text = _load(tmp_path, _pdf(content)).text

    assert "infor-" not in text
    assert text.count("information") == 2
    assert "third-party" in text.replace("-\n", "-")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (_pdf(_lines((700, "Secret.")), encrypt=True), "encrypted"),
        (b"%PDF-1.7\nnothing of a PDF", "malformed"),
        (_pdf(), "malformed"),
    ],
)
def test_what_cannot_be_opened_has_a_code_and_a_sentence(tmp_path: pathlib.Path, content: bytes, code: str) -> None:
    with pytest.raises(DocumentError) as raised:
        _load(tmp_path, content)

    assert raised.value.code == code
    assert "PDF" in raised.value.message


@pytest.mark.parametrize("limits", [Limits(max_pages=1), Limits(max_text_chars=15)])
def test_a_document_over_a_limit_is_refused(tmp_path: pathlib.Path, limits: Limits) -> None:
    with pytest.raises(DocumentError) as raised:
        _load(tmp_path, _pdf(_lines((700, "First page.")), _lines((700, "Second page."))), limits)

    assert raised.value.code == "too_long"


@pytest.mark.parametrize(
    ("written", "title"),
    [("Microsoft Word - Annual report", "Annual report"), ("draft_v3.docx", None), ("0000-24-11", None), ("", None)],
)
def test_a_title_that_a_program_left_behind_is_none(tmp_path: pathlib.Path, written: str, title: str | None) -> None:
    assert _load(tmp_path, _pdf(_lines((700, "Text.")), title=written)).title == title
