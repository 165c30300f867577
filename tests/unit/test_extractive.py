"""The extractive answerer: what it chooses, and what comes along with it."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator

import pytest

from app.answering import context
from app.domain.answers import Candidate, Passage
from app.inference.embedder import BatchingEmbedder
from app.inference.extractive import candidates, compose, features, focus, model, units
from app.inference.extractive.answerer import ExtractiveAnswerer
from app.inference.extractive.units import Kind, Surroundings
from app.inference.hashing_embedder import HashingEncoder, WordTokenizer
from app.text import words

TOKENIZER = WordTokenizer()


@pytest.fixture(name="embedder", scope="module")
def _embedder() -> Iterator[BatchingEmbedder]:
    made = BatchingEmbedder(HashingEncoder())
    yield made
    made.close()


def passage(
    text: str, *, start: int = 0, ordinal: int = 0, version: uuid.UUID | None = None, **parts: object
) -> Passage:
    version = version or uuid.uuid4()
    made = Passage(
        chunk_id=uuid.uuid4(),
        document_id=uuid.uuid5(version, "document"),
        version_id=version,
        external_id=None,
        title="Notes",
        page=None,
        start=start,
        end=start + len(text),
        text=text,
        headings=(),
        ordinal=ordinal,
        score=0.5,
        cosine=0.5,
    )
    return dataclasses.replace(made, **parts)  # type: ignore[arg-type]


def kinds(text: str, **parts: object) -> list[tuple[Kind, str]]:
    one = passage(text, start=7, **parts)  # type: ignore[arg-type]
    found = units.of(one)
    for unit in found:
        assert one.text[unit.start - 7 : unit.end - 7] == unit.text
        assert unit.text == unit.text.strip()
    return [(unit.kind, unit.text) for unit in found]


def test_a_heading_is_no_part_of_the_sentence_under_it() -> None:
    assert kinds("## Visiting\nThe tower is open. Dogs stay out.") == [
        (Kind.HEADING, "## Visiting"),
        (Kind.SENTENCE, "The tower is open."),
        (Kind.SENTENCE, "Dogs stay out."),
    ]
    assert kinds("Berths\n\nA night costs 2 euros.", headings=("Harbour", "Berths"))[0] == (Kind.HEADING, "Berths")


def test_rows_of_a_table_are_units() -> None:
    assert kinds("Fares:\n\nplace | fare\nPier | 2\nQuay | 3") == [
        (Kind.SENTENCE, "Fares:"),
        (Kind.ROW, "place | fare"),
        (Kind.ROW, "Pier | 2"),
        (Kind.ROW, "Quay | 3"),
    ]
    assert kinds("| a | b |\n| --- | --- |\n| 1 | 2 |") == [
        (Kind.ROW, "| a | b |"),
        (Kind.RULE, "| --- | --- |"),
        (Kind.ROW, "| 1 | 2 |"),
    ]


def test_a_title_is_no_row_of_the_table_under_it() -> None:
    assert kinds("## Allergens\n| food | nuts |\n| --- | --- |\n| Bun | no |") == [
        (Kind.HEADING, "## Allergens"),
        (Kind.ROW, "| food | nuts |"),
        (Kind.RULE, "| --- | --- |"),
        (Kind.ROW, "| Bun | no |"),
    ]


def test_items_of_a_list_are_units() -> None:
    assert [kind for kind, _ in kinds("Bring:\n- a coat\n- a lamp\n\nThen go.")] == [
        Kind.SENTENCE,
        Kind.ITEM,
        Kind.ITEM,
        Kind.SENTENCE,
    ]


def test_lines_that_no_stop_ends_are_units_of_bounded_length() -> None:
    text = "\n".join(f"Net sales of the region number {n}   {n}00   {n}50" for n in range(60))
    found = kinds(text)
    assert len(found) > 5
    assert all(len(line) < 400 for _, line in found)


def test_running_text_over_several_lines_stays_whole() -> None:
    text = "The tower is open from April\nto October, on Saturdays and\nSundays."
    assert kinds(text) == [(Kind.SENTENCE, text)]


def candidate(of: Passage, text: str, score: float) -> Candidate:
    start = of.start + of.text.index(text)
    return Candidate(passage=of, start=start, end=start + len(text), text=text, score=score)


def said(*ranked: Candidate) -> list[str]:
    passages = list(dict.fromkeys(each.passage for each in ranked))
    packed = context.pack(passages, tokenizer=TOKENIZER, max_tokens=10_000)
    return [each.text for each in compose.answer(ranked, Surroundings(packed.blocks))]


def test_a_sure_sentence_stands_alone() -> None:
    one = passage("Ann rows. Bob swims. Cid sails.")
    assert said(candidate(one, "Bob swims.", 0.9), candidate(one, "Ann rows.", 0.1)) == ["Bob swims."]


def test_open_questions_take_more_sentences_in_the_order_of_the_text() -> None:
    one = passage("Ann rows. Bob swims. Cid sails.")
    ranked = (candidate(one, "Cid sails.", 0.4), candidate(one, "Ann rows.", 0.3), candidate(one, "Bob swims.", 0.1))
    assert said(*ranked) == ["Ann rows.", "Cid sails."]


def test_never_more_than_three_are_chosen() -> None:
    one = passage("Ann rows. Bob swims. Cid sails. Dan dives.")
    ranked = [candidate(one, text, 0.2) for text in ("Ann rows.", "Bob swims.", "Cid sails.", "Dan dives.")]
    assert len(said(*ranked)) == 3


def test_a_pronoun_brings_the_sentence_it_points_to() -> None:
    one = passage("Ann built the pier. She was 70 then.")
    assert said(candidate(one, "She was 70 then.", 0.9)) == ["Ann built the pier.", "She was 70 then."]


def test_a_pronoun_brings_the_sentence_of_the_passage_before() -> None:
    version = uuid.uuid4()
    one = passage("Ann built the pier.", version=version, ordinal=0)
    two = passage("She was 70 then.", version=version, ordinal=1, start=21)
    ranked = (candidate(two, "She was 70 then.", 0.9), candidate(one, "Ann built the pier.", 0.05))
    assert said(*ranked) == ["Ann built the pier.", "She was 70 then."]


def test_a_row_comes_with_its_header() -> None:
    one = passage("place | fare\nPier | 2\nQuay | 3")
    assert said(candidate(one, "Quay | 3", 0.9)) == ["place | fare", "Quay | 3"]


def test_a_row_far_from_its_header_comes_under_the_names_of_its_columns() -> None:
    one = passage("Pier | 2\nQuay | 3", headings=("Fares", "place | fare"))
    assert said(candidate(one, "Quay | 3", 0.9)) == ["place | fare: Quay | 3"]


def test_an_item_comes_with_its_lead_in_and_a_lead_in_with_its_items() -> None:
    one = passage("Bring these things:\n- a coat\n- a lamp\n\nThen go.")
    assert said(candidate(one, "- a lamp", 0.9)) == ["Bring these things:", "- a lamp"]
    assert said(candidate(one, "Bring these things:", 0.9)) == ["Bring these things:", "- a coat", "- a lamp"]


def test_what_two_documents_say_is_said_once_and_cited_twice() -> None:
    one, two = passage("Ann built the pier."), passage("Ann  built the pier.")
    ranked = (candidate(one, "Ann built the pier.", 0.6), candidate(two, "Ann  built the pier.", 0.4))
    packed = context.pack([one, two], tokenizer=TOKENIZER, max_tokens=1000)
    (only,) = compose.answer(ranked, Surroundings(packed.blocks))
    assert [source.passage for source in only.sources] == [one, two]


@pytest.mark.parametrize(
    ("here", "there", "both"),
    [
        ("The pier was built in 1871.", "The pier was built in 1874.", True),
        ("Dogs are admitted to the tower.", "Dogs are not admitted to the tower.", True),
        ("The pier was built in 1871.", "The mill has 4 wheels.", False),
    ],
)
def test_documents_that_contradict_each_other_are_both_shown(here: str, there: str, *, both: bool) -> None:
    one, two = passage(here), passage(there)
    found = said(candidate(one, here, 0.95), candidate(two, there, 0.05))
    assert found == ([here, there] if both else [here])


def test_two_numbers_in_one_document_are_no_contradiction() -> None:
    one = passage("The fare was 2 in 1990. The fare was 3 in 2000.")
    ranked = (candidate(one, "The fare was 2 in 1990.", 0.9), candidate(one, "The fare was 3 in 2000.", 0.05))
    assert said(*ranked) == ["The fare was 2 in 1990."]


def test_a_draft_is_made_of_exact_places_of_the_evidence(embedder: BatchingEmbedder) -> None:
    one = passage("The tower has 187 steps. It is open in May.", start=40)
    packed = context.pack([one], tokenizer=TOKENIZER, max_tokens=1000)
    draft = ExtractiveAnswerer(embedder).draft(
        "How many steps are there?", embedder.embed_query("How many steps are there?"), packed
    )
    assert draft.candidates[0].text == "The tower has 187 steps."
    assert 0 <= draft.confidence <= 1
    assert sum(each.score for each in draft.candidates) == pytest.approx(1)
    for each in draft.candidates:
        assert one.text[each.start - 40 : each.end - 40] == each.text


def test_no_sentence_gives_an_empty_draft(embedder: BatchingEmbedder) -> None:
    one = passage("# Title")
    packed = context.pack([one], tokenizer=TOKENIZER, max_tokens=1000)
    draft = ExtractiveAnswerer(embedder).draft("q", embedder.embed_query("q"), packed)
    assert (draft.sentences, draft.candidates, draft.confidence) == ((), (), 0.0)


@pytest.mark.parametrize("question", ["x", "的", "?", "1", "a " * 500, "Ω" * 100, "who " * 3])
def test_odd_questions_give_numbers(embedder: BatchingEmbedder, question: str) -> None:
    one = passage("Ann rows. 1 2 3. 我们在这里。 Ωμέγα!")
    found = candidates.split([one])
    asked = candidates.weigh(question, found)
    pool = candidates.pool(asked, found)
    assert 0 < len(pool) <= candidates.POOL
    draft = ExtractiveAnswerer(embedder).draft(
        question, embedder.embed_query(question), context.pack([one], tokenizer=TOKENIZER, max_tokens=1000)
    )
    assert draft.confidence == draft.confidence
    assert draft.candidates


@pytest.mark.parametrize(
    ("question", "core"),
    [
        ("When was it built?", "When was it built?"),
        ("You are a banker. When was it built? Round your answer.", "When was it built?"),
        ("Who built it? And when?", "Who built it? And when?"),
        ("Tell me about the pier.", "Tell me about the pier."),
        ("He asked (why?). Answer shortly.", "He asked (why?). Answer shortly."),
        ("", ""),
    ],
)
def test_what_is_said_around_a_question_is_not_asked(question: str, core: str) -> None:
    assert focus.of(question) == core


@pytest.mark.parametrize("said", ["FY2017", "FY 2017", "FY17", "2017"])
def test_a_fiscal_year_is_a_year(said: str) -> None:
    assert words.of(f"sales of {said}?").plain == ("sales", "of", "2017")
    assert words.of("FY2017Q1").plain == ("2017", "q1")


def test_the_weights_fit_the_features() -> None:
    fitted = model.load()
    assert fitted.rank.shape == (features.WIDTH,)
    assert fitted.confidence.shape == (model.SUMMARY_WIDTH,)
    assert 0 < fitted.threshold < 1


def test_words_are_compared_by_stem_without_case_and_accents() -> None:
    found = words.of("The Café COSTS what costing 1,000.50 € is").content
    assert found == {"cafe", "cost", "1,000.50", "€"}
    assert words.of("渡し船").plain == ("渡し", "し船")
    assert words.of("").plain == ()
    assert words.stem("ω" * 3) == "ω" * 3
    assert words.stem("a" * 1000) == "a" * 1000
