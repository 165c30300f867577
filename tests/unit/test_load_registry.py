"""Which format a file is, and that all formats keep the promises of a loaded document."""

import pathlib
import struct
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.errors import DocumentError, EmptyFileError, UnsupportedFormatError
from app.domain.passages import BlockKind, Loaded
from app.text.canonical import canonical
from ingestion.load import registry
from ingestion.load.assembly import Limits
from ingestion.load.registry import Format, sniff

MAIL = b"From: a@example.com\nTo: b@example.com\nSubject: Hello\n\nBody\n"


def _zip(path: pathlib.Path, *names: str) -> bytes:
    with zipfile.ZipFile(path / "made.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return (path / "made.zip").read_bytes()


def _sniff(folder: pathlib.Path, content: bytes, name: str, media_type: str | None = None) -> Format:
    path = folder / "content"
    path.write_bytes(content)
    return sniff(path, filename=name, media_type=media_type)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"%PDF-1.4\n", "wrong.txt", Format.PDF),
        (b"\n\n%PDF-1.4\n", "no extension", Format.PDF),
        (b"<!DOCTYPE html><p>Hi</p>", "page.txt", Format.HTML),
        (b"<!-- made by hand -->\n<html><p>Hi</p></html>", "page", Format.HTML),
        (b'<?xml version="1.0"?><html xmlns="x"><p>Hi</p></html>', "page.xhtml", Format.HTML),
        (MAIL, "mail.eml", Format.EML),
        (MAIL, "mail.txt", Format.EML),
        (MAIL.decode().encode("utf-16"), "mail.eml", Format.EML),
        (b'{"a": [1, 2, {"b": null}]}', "records.txt", Format.JSON),
        (b'{"a": 1}\n{"a": 2}\n', "records", Format.JSON),
        (b'{"a": 1,\n "b": ', "incomplete.txt", Format.TXT),
        (b'{"a": 1,\n "b": ', "incomplete.json", Format.JSON),
        (b"a,b\n1,2\n", "table.csv", Format.CSV),
        (b"a\tb\n1\t2\n", "table.TSV", Format.CSV),
        (b"# Title\n\nText", "notes.md", Format.MD),
        (b"BMW builds cars", "cars.txt", Format.TXT),
        ("Größe".encode("cp1252"), "old.txt", Format.TXT),
        ("wide".encode("utf-32-be"), "wide.txt", Format.TXT),
        (b"\xef\xbb\xbfmarked", "marked.txt", Format.TXT),
    ],
)
def test_content_goes_before_the_name(tmp_path: pathlib.Path, content: bytes, name: str, expected: Format) -> None:
    assert _sniff(tmp_path, content, name) is expected


@pytest.mark.parametrize(
    ("room", "expected"),
    [("word/document.xml", Format.DOCX), ("ppt/presentation.xml", Format.PPTX), ("xl/workbook.xml", Format.XLSX)],
)
def test_office_files_are_told_by_what_is_in_them(tmp_path: pathlib.Path, room: str, expected: Format) -> None:
    content = _zip(tmp_path, "[Content_Types].xml", "docProps/app.xml", room)

    assert _sniff(tmp_path, content, "whatever.bin") is expected
    assert _sniff(tmp_path, content[:-60], "cut-off.docx") is expected


def test_what_was_declared_counts_only_where_content_and_name_are_silent(tmp_path: pathlib.Path) -> None:
    assert _sniff(tmp_path, b"%PDF-1.4\n", "a.pdf", "image/png") is Format.PDF
    assert _sniff(tmp_path, b"a,b\n1,2\n", "upload", "text/csv; charset=utf-8") is Format.CSV
    assert _sniff(tmp_path, b"a,b\n1,2\n", "upload.txt", "text/csv") is Format.TXT


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "picture.txt"),
        (bytes(range(256)) * 4, "garbage.txt"),
        (b"{\\rtf1 text}", "letter.rtf"),
        (b"<?xml version='1.0'?><note/>", "note.xml"),
        (b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + bytes(50), "picture.bmp"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "photo.heic"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old.doc"),
        (b"\x1f\x8b\x08\0" + bytes(20), "logs.gz"),
    ],
)
def test_what_is_not_read_is_refused_with_the_list_of_what_is(
    tmp_path: pathlib.Path, content: bytes, name: str
) -> None:
    with pytest.raises(UnsupportedFormatError) as raised:
        _sniff(tmp_path, content, name)

    for kind in Format:
        assert kind.value in raised.value.message


@pytest.mark.parametrize("names", [("a.txt",), ("mimetype", "content.xml"), ("mimetype", "META-INF/container.xml")])
def test_other_zips_are_refused(tmp_path: pathlib.Path, names: tuple[str, ...]) -> None:
    with pytest.raises(UnsupportedFormatError):
        _sniff(tmp_path, _zip(tmp_path, *names), "book.docx")


def test_an_empty_file_is_told_as_such(tmp_path: pathlib.Path) -> None:
    with pytest.raises(EmptyFileError):
        _sniff(tmp_path, b"", "empty.txt")


def test_a_refusal_while_loading_fails_the_document_with_the_same_code(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()

    with pytest.raises(DocumentError) as raised:
        registry.load(path, filename="empty.txt", media_type=None, limits=Limits())

    assert raised.value.code == "empty_file"


def _check(loaded: Loaded) -> None:
    """The promises of `Loaded`, whatever the format."""
    assert loaded.text == canonical(loaded.text)
    at = 0
    for block in loaded.blocks:
        assert at <= block.start < block.end <= len(loaded.text)
        assert not loaded.text[at : block.start].strip()
        assert loaded.text[block.start : block.end].strip()
        assert (block.level > 0) == (block.kind is BlockKind.HEADING)
        if block.header_end is not None:
            assert block.kind is BlockKind.TABLE
            assert block.start < block.header_end < block.end
            assert loaded.text[block.header_end] == "\n"
        at = block.end
    assert not loaded.text[at:].strip()
    assert [page.number for page in loaded.pages] == list(range(1, len(loaded.pages) + 1))


pieces = st.text(
    alphabet=st.one_of(
        st.sampled_from("\n\n\n #-*|>`~=:,;\"'<>&{}[]()/.1ab \t\r\0\u0301\u2028"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=200,
)
tags = st.lists(
    st.one_of(
        pieces,
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<h1>",
                "</h1>",
                "<ul>",
                "<li>",
                "</ul>",
                "<table>",
                "<tr>",
                "<td>",
                "<th>",
                "</table>",
                "<pre>",
                "</pre>",
                "<br>",
                "<div>",
                "</div>",
                "<script>",
                "</script>",
                "<!--",
                "-->",
                "<b>",
                "</b>",
                "<ol",
                "start=3>",
                "<td",
                "colspan=9>",
            ]
        ),
    ),
    max_size=30,
).map("".join)


@pytest.mark.parametrize("extension", ["txt", "md", "csv", "eml", "json", "html"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(source=pieces | tags)
def test_whatever_a_text_holds_its_blocks_cover_it_and_offsets_hold(
    tmp_path: pathlib.Path, extension: str, source: str
) -> None:
    path = tmp_path / f"file.{extension}"
    path.write_bytes(source.encode())

    try:
        loaded = registry.load(path, filename=path.name, media_type=None, limits=Limits())
    except DocumentError as error:
        assert error.code in {"empty_file", "no_text", "malformed", "unsupported_format", "encrypted"}  # noqa: PT017
    else:
        _check(loaded)


@pytest.mark.parametrize("extension", ["txt", "md", "csv", "json", "html"])
def test_a_text_over_the_limit_is_refused_by_the_name_of_the_limit(tmp_path: pathlib.Path, extension: str) -> None:
    path = tmp_path / f"file.{extension}"
    path.write_text('["' + "word " * 300 + '"]', encoding="utf-8")

    with pytest.raises(DocumentError, match="FOOTNOTE_MAX_TEXT_CHARS") as raised:
        registry.load(path, filename=path.name, media_type=None, limits=Limits(max_text_chars=1_000))

    assert raised.value.code == "too_long"
