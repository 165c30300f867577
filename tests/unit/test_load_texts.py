"""Plain text, Markdown, HTML, separated values, mails and JSON."""

import pathlib

import pytest

from app.domain.errors import DocumentError
from app.domain.passages import Loaded
from ingestion.load import delimited, html_page, json_text, mail, markdown, plain_text
from ingestion.load.assembly import Limits
from ingestion.load.encoding import decode
from ingestion.load.registry import LoadFunction


def _load(load: LoadFunction, folder: pathlib.Path, content: str | bytes) -> Loaded:
    path = folder / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load(path, limits=Limits())


def _blocks(loaded: Loaded) -> list[tuple[str, str]]:
    return [(block.kind.value, loaded.text[block.start : block.end]) for block in loaded.blocks]


def _header(loaded: Loaded) -> str | None:
    block = next(block for block in loaded.blocks if block.kind.value == "table")
    return None if block.header_end is None else loaded.text[block.start : block.header_end]


# Encodings


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Größe, naïve, 15,50 €", "utf-8"),
        ("Größe, naïve", "utf-8-sig"),
        ("Größe, naïve", "utf-16"),
        ("Plain words in wide letters", "utf-16-le"),
        ("Plain words in wide letters", "utf-16-be"),
        ("Plain words in wide letters", "utf-32"),
        ("Il était une fois à la forêt très près, un garçon où", "cp1252"),
        ("El niño español comió piñas mañana. ¿Qué?", "cp1252"),
        ("שלום לכולם, זהו טקסט בעברית לבדיקה של הקידוד", "iso8859_8"),
        ("これは日本語のテキストです。文字コードを調べる。", "shift_jis"),
        ("これは日本語のテキストです。文字コードを調べる。", "euc_jp"),
        ("これは日本語のテキストです。", "iso2022_jp"),
        ("Привет, это русский текст для проверки кодировки.", "koi8_r"),
        ("这是一个中文文本用于检查编码。", "gb18030"),
    ],
)
def test_old_and_new_encodings_are_read(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)).lstrip("\ufeff") == text


def test_damaged_utf8_stays_utf8_with_marks_where_it_is_damaged() -> None:
    raw = "Größe und Übermaß, schön und süß. ".encode() * 3 + b"\xff end"

    assert decode(raw) == "Größe und Übermaß, schön und süß. " * 3 + "\ufffd end"


def test_a_declared_charset_decides_between_old_encodings() -> None:
    assert decode("Ğğ".encode("cp1254"), declared="windows-1254") == "Ğğ"
    assert decode("Größe".encode(), declared="iso-8859-1") == "Größe"
    assert decode(b"caf\xe9", declared="no-such-charset") == "café"


# Plain text


def test_hard_wrapped_lines_are_one_paragraph_and_blank_lines_part_paragraphs(tmp_path: pathlib.Path) -> None:
    loaded = _load(plain_text.load, tmp_path, "\n  One line\r\nand its rest.  \r\n \t\r\n\nAnother\n")

    assert _blocks(loaded) == [("paragraph", "One line\nand its rest."), ("paragraph", "Another")]


def test_lines_too_long_to_be_wrapped_by_hand_are_paragraphs_of_their_own(tmp_path: pathlib.Path) -> None:
    long = "word " * 60 + "end."

    loaded = _load(plain_text.load, tmp_path, f"short\n{long}\n{long}\nshort\nshort")

    assert [text for _, text in _blocks(loaded)] == ["short", long, long, "short\nshort"]


# Markdown


def test_markdown_stays_as_written_with_blocks_over_it(tmp_path: pathlib.Path) -> None:
    source = (
        "---\ntitle: My notes\n---\n# One\nText that\nis wrapped.\n\nTwo\n---\n- item\n  goes on\n- item 2\n\n  more of it\n"
        "1. first\n\n```py\n# no heading\n\nx = 1\n```\n| a | b |\n|---|--:|\n| 1 | 2 |\nAfter.\n> quoted\n"
    )

    loaded = _load(markdown.load, tmp_path, source)

    assert loaded.text == source
    assert loaded.title == "My notes"
    assert _blocks(loaded) == [
        ("code", "---\ntitle: My notes\n---"),
        ("heading", "# One"),
        ("paragraph", "Text that\nis wrapped."),
        ("heading", "Two\n---"),
        ("list_item", "- item\n  goes on"),
        ("list_item", "- item 2\n\n  more of it"),
        ("list_item", "1. first"),
        ("code", "```py\n# no heading\n\nx = 1\n```"),
        ("table", "| a | b |\n|---|--:|\n| 1 | 2 |"),
        ("paragraph", "After.\n> quoted"),
    ]
    assert [block.level for block in loaded.blocks if block.level] == [1, 2]
    assert _header(loaded) == "| a | b |"


def test_a_fence_that_is_never_closed_reaches_to_the_end(tmp_path: pathlib.Path) -> None:
    loaded = _load(markdown.load, tmp_path, "# Title\n~~~\ncode\n\n# not a heading\n")

    assert _blocks(loaded) == [("heading", "# Title"), ("code", "~~~\ncode\n\n# not a heading")]
    assert loaded.title == "Title"


# HTML


def test_a_page_is_what_its_reader_sees(tmp_path: pathlib.Path) -> None:
    source = """<html><head><title> The  title </title><style>p {}</style></head><body><nav>Menu</nav>
    <h2>Head <i>line</i></h2>loose text<p>One&nbsp;two<br>three<p>four <b>bo</b>ld
    <ul><li>a<li>b<ol start=3><li>c</ol></ul><script>var x</script><div hidden>no</div>
    <div style="display: none">no</div><pre>
  kept  as
    is</pre><!-- no --></body></html>"""

    loaded = _load(html_page.load, tmp_path, source)

    assert loaded.title == "The title"
    assert _blocks(loaded) == [
        ("heading", "Head line"),
        ("paragraph", "loose text"),
        ("paragraph", "One two\nthree"),
        ("paragraph", "four bold"),
        ("list_item", "- a"),
        ("list_item", "- b"),
        ("list_item", "3. c"),
        ("code", "  kept  as\n    is"),
    ]


def test_a_table_of_data_keeps_its_rows_and_its_header(tmp_path: pathlib.Path) -> None:
    source = """<table><caption>Sales</caption><tr><th>Year<th colspan=2>Amount</tr><tr><td>2021<td>$<td>5<td></tr>
    <tr><td></td><td>$</td><td>7</td></tr></table>"""

    loaded = _load(html_page.load, tmp_path, source)

    assert _blocks(loaded) == [("paragraph", "Sales"), ("table", "Year | Amount\n2021 | $ | 5\n| $ | 7")]
    assert _header(loaded) == "Year | Amount"


def test_a_table_that_places_blocks_is_no_table(tmp_path: pathlib.Path) -> None:
    loaded = _load(
        html_page.load, tmp_path, "<table><tr><td><h1>Left</h1><p>Text</td><td><ul><li>x</ul></td></tr></table>"
    )

    assert _blocks(loaded) == [("heading", "Left"), ("paragraph", "Text"), ("list_item", "- x")]


def test_a_page_in_an_old_encoding_says_so_itself(tmp_path: pathlib.Path) -> None:
    source = '<meta http-equiv="Content-Type" content="text/html; charset=windows-1254"><p>Ğüzel</p>'

    assert _load(html_page.load, tmp_path, source.encode("cp1254")).text == "Ğüzel"


def test_deep_nesting_is_read_whole_or_refused(tmp_path: pathlib.Path) -> None:
    deep = "<div>" * 1_500 + "down here" + "</div>" * 1_500 + "<p>after"

    assert _load(html_page.load, tmp_path, deep).text == "down here\n\nafter"
    with pytest.raises(DocumentError) as raised:
        _load(html_page.load, tmp_path, "<div>" * 100_000 + "lost")
    assert raised.value.code == "malformed"


# Separated values


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a,b\n1,2\n", "a | b\n1 | 2"),
        ('a;b\n"x;y";"1,5"\n', "a | b\nx;y | 1,5"),
        ("a\tb\n1\t\n", "a | b\n1"),
        ("col1|col2\r\n\r\nx|y", "col1 | col2\nx | y"),
        ('a,b\n"two\nlines",2\n', "a | b\ntwo lines | 2"),
        ("only one column\nof words, here\n", "only one column\nof words | here"),
    ],
)
def test_rows_are_lines_whatever_the_dialect(tmp_path: pathlib.Path, source: str, text: str) -> None:
    assert _load(delimited.load, tmp_path, source).text == text


@pytest.mark.parametrize(
    ("source", "header"),
    [
        ("name,2021,2022\nsales,1,2\n", "name | 2021 | 2022"),
        ("1,2\n3,4\n", None),
        ("name,age\n", None),
    ],
)
def test_a_header_is_a_row_of_names_and_years(tmp_path: pathlib.Path, source: str, header: str | None) -> None:
    assert _header(_load(delimited.load, tmp_path, source)) == header


def test_a_title_above_a_table_is_a_paragraph(tmp_path: pathlib.Path) -> None:
    loaded = _load(delimited.load, tmp_path, "Stanley Cups,,\nTeam,Location,Cups\nBlues,STL,1\n")

    assert _blocks(loaded)[0] == ("paragraph", "Stanley Cups")
    assert _header(loaded) == "Team | Location | Cups"


def test_a_quotation_mark_that_is_never_closed_swallows_nothing(tmp_path: pathlib.Path) -> None:
    loaded = _load(delimited.load, tmp_path, 'a,b\n"x,y\n' + "1,2\n" * 300)

    assert loaded.text.count("\n") == 301
    assert [warning.code for warning in loaded.warnings] == ["unclosed_quotation_mark"]


# Mails


def test_a_mail_is_its_header_lines_and_its_plain_body(tmp_path: pathlib.Path) -> None:
    source = (
        "From: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\nTo: b@example.com\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\n"
        "Date: Tue, 1 Oct 2024 12:00:00 +0000\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n"
        "--x\nContent-Type: multipart/alternative; boundary=y\n\n--y\nContent-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: quoted-printable\n\nSch=C3=B6ne Gr=\n=C3=BC=C3=9Fe\n\nBis bald\n"
        "--y\nContent-Type: text/html\n\n<p>Not this</p>\n--y--\n"
        '--x\nContent-Type: image/png; name="logo.png"\nContent-Disposition: attachment\n\nxxxx\n--x--\n'
    )

    loaded = _load(mail.load, tmp_path, source)

    assert loaded.title == "Grüße"
    assert _blocks(loaded) == [
        (
            "paragraph",
            "Subject: Grüße\nFrom: Jürgen <j@example.com>\nTo: b@example.com\nDate: Tue, 1 Oct 2024 12:00:00 +0000",
        ),
        ("paragraph", "Schöne Grüße"),
        ("paragraph", "Bis bald"),
    ]
    assert [(warning.code, "logo.png" in warning.message) for warning in loaded.warnings] == [
        ("attachment_skipped", True)
    ]


@pytest.mark.parametrize(
    "body",
    [
        "Content-Type: text/html; charset=utf-8\n\n<p>Hello <b>there</b></p><script>no</script>",
        "Content-Type: text/plain; charset=no-such\nContent-Transfer-Encoding: base64\n\nSGVsbG8gdGhlcmU\n",
        (
            "Content-Type: multipart/alternative; boundary=z\n\n--z\nContent-Type: text/plain\n\n \n--z\n"
            "Content-Type: text/html\n\nHello there\n--z--"
        ),
        (
            "Content-Type: multipart/signed; boundary=z\n\nPreamble\n--z\n\nHello there\n--z\n"
            "Content-Type: application/pkcs7-signature\n\nxx\n--z--"
        ),
    ],
)
def test_odd_bodies_are_read(tmp_path: pathlib.Path, body: str) -> None:
    loaded = _load(mail.load, tmp_path, f"From: a@example.com\nSubject: s\n{body}\n")

    assert _blocks(loaded)[1:] == [("paragraph", "Hello there")]
    assert loaded.warnings == ()


def _opened_part(number: int) -> str:
    return f"Content-Type: multipart/mixed; boundary=z{number}z\n\n--z{number}z\n"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("From: a\nContent-Type: multipart/encrypted; boundary=z\n\n--z\n\nx\n--z--", "encrypted"),
        ("From: a\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nxx", "encrypted"),
        ("From: a\n\n-----BEGIN PGP MESSAGE-----\n\nxx", "encrypted"),
        ("\n \n", "no_text"),
        ("From: a\n" + "".join(map(_opened_part, range(100))), "malformed"),
        ("From: a\n" + "".join(map(_opened_part, range(2_000))), "malformed"),
    ],
)
def test_mails_that_cannot_be_read_say_why(tmp_path: pathlib.Path, source: str, code: str) -> None:
    with pytest.raises(DocumentError) as raised:
        _load(mail.load, tmp_path, source)

    assert raised.value.code == code


# JSON


def test_values_are_lines_in_the_order_written_and_records_are_paragraphs(tmp_path: pathlib.Path) -> None:
    source = '[{"name": "Ann", "tags": ["x", "y"], "none": null}, {"name": "Bob", "home": {"city": "Rome", "ok": true}}, 7.50]'

    loaded = _load(json_text.load, tmp_path, source)

    assert _blocks(loaded) == [
        ("paragraph", "name: Ann\ntags: x, y"),
        ("paragraph", "name: Bob\nhome.city: Rome\nhome.ok: true"),
        ("paragraph", "7.50"),
    ]


def test_a_record_a_line_is_a_paragraph_each(tmp_path: pathlib.Path) -> None:
    loaded = _load(json_text.load, tmp_path, '{"a": 1}\n\n{"a": "\\ud83d\\ude00"}\n')

    assert _blocks(loaded) == [("paragraph", "a: 1"), ("paragraph", "a: \U0001f600")]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ('{"a": 1,\n "b": ', "line 2"),
        ('{"a": 1}\n{"a": \n', "line 2"),
        ("[" * 100_000, "nested too deeply"),
        ('{"n": ' * 50_000, "nested too deeply"),
    ],
)
def test_json_that_is_none_says_where(tmp_path: pathlib.Path, source: str, place: str) -> None:
    with pytest.raises(DocumentError, match=place) as raised:
        _load(json_text.load, tmp_path, source)

    assert raised.value.code == "malformed"


def test_a_number_of_any_length_stays_as_it_is_written(tmp_path: pathlib.Path) -> None:
    assert _load(json_text.load, tmp_path, '{"n": ' + "9" * 5_000 + "}").text == "n: " + "9" * 5_000
