"""The checker: what supports a sentence, what contradicts it, and where that stands."""

from __future__ import annotations

import concurrent.futures
import uuid
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.answers import Claim, Passage, Support
from app.domain.vectors import Matrix
from app.inference.batcher import Kind, Prepared
from app.inference.embedder import BatchingEmbedder
from app.inference.hashing_embedder import HashingEncoder
from app.inference.support import model
from app.inference.support.align import AGAINST, NAMES
from app.inference.support.checker import AlignmentChecker

HARBOUR = (
    "The harbour opened in 1921 and has 1,200 berths. Boats of up to 5 km from the pier pay 20 percent less. "
    "All boats must be insured. Dogs are not allowed on the pier after 8 pm. The pier is 350 metres long. "
    "Call the harbour at +47 22 12 34 56."
)
REPORT = (
    "Sales increased to 1.2 million in 2019, up from 950,000 in 2018. The company employs about 3,400 people in Norway. "
    "The board rejected the offer of Acme Corp. on 12 May 2019. Erik Berg has led the company since the spring."
)
TESLA = (
    "Nikola Tesla was born on 10 July 1856 in Smiljan. He was hired by Thomas Edison to work at his machine works. "
    "In 1888 he sold patents to George Westinghouse for $60,000."
)


def passage(text: str, *, start: int = 0, title: str = "Notes") -> Passage:
    version = uuid.uuid5(uuid.NAMESPACE_OID, text)
    return Passage(
        chunk_id=uuid.uuid5(version, "chunk"),
        document_id=uuid.uuid5(version, "document"),
        version_id=version,
        external_id=None,
        title=title,
        page=None,
        start=start,
        end=start + len(text),
        text=text,
        headings=(),
        ordinal=0,
        score=0.5,
        cosine=0.5,
    )


PASSAGES = (passage(HARBOUR, start=1000), passage(REPORT, start=7), passage(TESLA, title="Nikola Tesla"))


@pytest.fixture(name="checker", scope="module")
def _checker() -> Iterator[AlignmentChecker]:
    embedder = BatchingEmbedder(HashingEncoder(dimensions=256))
    yield AlignmentChecker(embedder)
    embedder.close()


def check(checker: AlignmentChecker, text: str, *cited: int) -> Support:
    (found,) = checker.check([Claim(text=text, cited=cited)], PASSAGES)
    return found


@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("The harbour opened in 1921 and has 1,200 berths.", 0),
        ("The harbour opened in 1921 and has 1200 berths.", 0),
        ("Boats of up to 5 kilometres from the pier pay 20% less.", 0),
        ("The pier is 350 m long.", 0),
        ("Dogs aren't allowed on the pier after 8 pm.", 0),
        ("The board rejected the offer of Acme Corp. on May 12, 2019.", 1),
        ("The board rejected the offer of Acme Corp. in 2019.", 1),
        ("Sales increased to 1,200,000 in 2019.", 1),
        ("In 1888 Tesla sold patents to George Westinghouse for 60,000 dollars.", 2),
    ],
)
def test_what_the_source_says_in_other_figures_is_supported(checker: AlignmentChecker, text: str, cited: int) -> None:
    found = check(checker, text, cited)
    assert found.score >= checker.threshold
    assert not found.corrected
    assert not found.contradicted
    assert found.sources[0].passage == PASSAGES[cited]


@pytest.mark.parametrize(
    ("text", "cited", "named"),
    [
        ("The harbour opened in 1931 and has 1,200 berths.", 0, "1931"),
        ("The harbour opened in 1921 and has 1,300 berths.", 0, "1,300"),
        ("The pier is 350 feet long.", 0, "350 feet"),
        ("Dogs are allowed on the pier after 8 pm.", 0, "negation"),
        ("All boats must not be insured.", 0, "negation"),
        ("Dogs are not allowed on the pier before 8 pm.", 0, "before"),
        ("Boats of up to 5 km from the pier pay 20 percent more.", 0, "more"),
        ("Sales decreased to 1.2 million in 2019, up from 950,000 in 2018.", 1, "decreased"),
        ("The board accepted the offer of Acme Corp. on 12 May 2019.", 1, "accepted"),
        ("The board rejected the offer of Acme Corp. on 13 May 2019.", 1, "13 May 2019"),
        ("The company employs about 3,400 people in Sweden.", 1, "Sweden"),
        ("Erik Borg has led the company since the spring.", 1, "Erik Borg"),
        ("In 1888 he sold patents to Thomas Edison for $60,000.", 2, "Thomas Edison"),
    ],
)
def test_what_the_source_says_otherwise_is_named(checker: AlignmentChecker, text: str, cited: int, named: str) -> None:
    found = check(checker, text, cited)
    assert named in found.contradicted


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("The harbour opened in 1921 and has 1,200 berths.", "The harbour opened in 1931 and has 1,200 berths."),
        ("The harbour opened in 1921 and has 1,200 berths.", "The harbour opened in 1921 and has 1,300 berths."),
        ("The pier is 350 metres long.", "The pier is 350 feet long."),
        ("Dogs are not allowed on the pier after 8 pm.", "Dogs are allowed on the pier after 8 pm."),
        ("Sales increased to 1.2 million in 2019.", "Sales decreased to 1.2 million in 2019."),
        ("All boats must be insured.", "All boats must never be insured."),
        ("The pier is 350 metres long.", "The pier is two metres long."),
        ("Call the harbour at +47 22 12 34 56.", "Call the harbour at +47 22 12 34 57."),
        ("+47 22 12 34 56", "It is 12 metres."),
        ("+47 22 12 34 56", "12"),
    ],
)
def test_a_changed_fact_is_unsupported(checker: AlignmentChecker, right: str, wrong: str) -> None:
    assert check(checker, right).score >= checker.threshold
    assert check(checker, wrong).score < checker.threshold


HANDBOOK = (
    "Write to help@example.org or read support.example.com/help/start. The serial number of the pump is KT-55817-B. "
    "The lowest shelf is at -12 metres. The tour takes 1½ hours and costs 40 euros. The rent is 500 euros a month. "
    "The pressure is 3 bar at the pump. Henry VIII ruled the country. Chapter IV describes the lake. "
    "The ferry leaves the town at 06:40 every morning. The council voted 7 to 2 for the bridge. "
    "The ferry runs on Sundays. Members pay unless they are older than 70. The permit must be shown before boarding. "
    "Visitors must wear a helmet. Guests under 12 pay half. The road is closed until May. Add 3/4 of a litre of milk. "
    "The bar closes at 23:35 on Friday. Sales grew in Q3 2022. The firm earned 2.9 million euros in 2021."
)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Write to Help@example.org.", "Write to help@example.com."),
        ("Read https://support.example.com/help/start/.", "Read support.example.com/help/stop."),
        ("The serial number of the pump is KT-55817-B.", "The serial number of the pump is KT-55817-C."),
        ("The lowest shelf is at minus 12 metres.", "The lowest shelf is at 12 metres."),
        ("The tour takes 1.5 hours and costs 40 euros.", "The tour takes 1¼ hours and costs 40 euros."),
        ("The tour takes an hour and a half.", "The tour takes two hours and a half."),
        ("The rent is 500 euros per month.", "The rent is 500 euros a quarter."),
        ("The monthly rent is 500 euros.", "The yearly rent is 500 euros."),
        ("The pressure at the pump is 3 bar.", "The pressure at the pump is 3 psi."),
        ("Henry VIII ruled the country.", "Henry V ruled the country."),
        ("Chapter 4 describes the lake.", "Chapter V describes the lake."),
        ("The ferry leaves the town at 6:40 am every morning.", "The ferry leaves the town at 07:10 every morning."),
        ("The council voted 7-2 for the bridge.", "The council voted 2 to 7 for the bridge."),
        ("The ferry runs on Sundays.", "The ferry never runs on Sundays."),
        ("Members pay unless they are older than 70.", "Members pay if they are older than 70."),
        ("The permit must be shown before boarding.", "The permit must be shown after boarding."),
        ("Visitors must wear a helmet.", "Visitors may wear a helmet."),
        ("Guests under 12 pay half.", "Guests under 12 pay nothing."),
        ("The road is closed until May.", "The road is closed since May."),
        ("Add 0.75 litres of milk.", "Add 1/4 of a litre of milk."),
        ("The bar closes at 11:35 pm on Friday.", "The bar closes at 11:35 am on Friday."),
        ("Sales grew in the third quarter of 2022.", "Sales grew in the second quarter of 2022."),
        ("The firm earned EUR 2.9m in 2021.", "The firm earned EUR 2.9bn in 2021."),
    ],
)
def test_a_changed_detail_is_unsupported(checker: AlignmentChecker, right: str, wrong: str) -> None:
    told, otherwise = checker.check([Claim(text=text, cited=(0,)) for text in (right, wrong)], [passage(HANDBOOK)])
    assert told.score >= checker.threshold
    assert not told.contradicted
    assert otherwise.score < checker.threshold
    assert otherwise.contradicted


def test_what_no_passage_says_is_unsupported(checker: AlignmentChecker) -> None:
    assert check(checker, "Bananas are grown in Ecuador by small farmers.", 0).score < checker.threshold


def test_a_citation_of_the_wrong_passage_is_put_right(checker: AlignmentChecker) -> None:
    found = check(checker, "The pier is 350 metres long.", 1)
    assert found.corrected
    assert [source.passage for source in found.sources] == [PASSAGES[0]]
    assert found.score >= checker.threshold


def test_a_sentence_without_a_citation_gets_one(checker: AlignmentChecker) -> None:
    found = check(checker, "The pier is 350 metres long.")
    assert found.corrected
    assert [source.text for source in found.sources] == ["The pier is 350 metres long."]


def test_places_that_do_not_exist_are_no_citation(checker: AlignmentChecker) -> None:
    found = check(checker, "The pier is 350 metres long.", 99, -1)
    assert found.corrected
    assert found.sources[0].passage == PASSAGES[0]


def test_a_sentence_may_stand_on_two_passages(checker: AlignmentChecker) -> None:
    found = check(
        checker, "The pier is 350 metres long, and the board rejected the offer of Acme Corp. on 12 May 2019.", 0, 1
    )
    assert {source.passage.text for source in found.sources} == {HARBOUR, REPORT}
    assert not found.corrected
    assert found.score >= checker.threshold


def test_of_two_joined_facts_the_false_one_weighs(checker: AlignmentChecker) -> None:
    right, wrong = (
        check(
            checker, f"The pier is 350 metres long, and the board {verb} the offer of Acme Corp. on 12 May 2019.", 0, 1
        )
        for verb in ("rejected", "accepted")
    )
    assert wrong.score < right.score / 2
    assert wrong.contradicted == ("accepted",)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("東京都庁舎は1991年に完成した。", "東京都庁舎は1992年に完成した。"),
        (
            "Der Hafen wurde 1921 eröffnet und hat 1200 Liegeplätze.",
            "Der Hafen wurde 1931 eröffnet und hat 1200 Liegeplätze.",
        ),
        ("Порт открыт в 1921 году и принимает 30 судов.", "Порт открыт в 1921 году и принимает 40 судов."),
        ("افتتح الميناء في 1921 ويضم 30 رصيفا.", "افتتح الميناء في 1931 ويضم 30 رصيفا."),
    ],
)
def test_other_languages_are_compared_too(checker: AlignmentChecker, source: str, wrong: str) -> None:
    right, otherwise = checker.check([Claim(text=text, cited=(0,)) for text in (source, wrong)], [passage(source)])
    assert right.score >= checker.threshold
    assert otherwise.score < checker.threshold


@pytest.mark.parametrize("text", ["", " ", "...", "!!!", "\u200b", "the of and"])
def test_what_says_nothing_stands_on_nothing(checker: AlignmentChecker, text: str) -> None:
    assert check(checker, text, 0) == Support(score=0.0, sources=(), corrected=False)


def test_what_is_too_long_to_be_read_whole_is_unsupported(checker: AlignmentChecker) -> None:
    assert check(checker, "The pier is 350 metres long. " + "x" * 2_000, 0).score == 0.0


def test_without_passages_nothing_is_supported(checker: AlignmentChecker) -> None:
    (found,) = checker.check([Claim(text="The pier is long.", cited=(0,))], [])
    assert found == Support(score=0.0, sources=(), corrected=False)
    assert checker.check([], PASSAGES) == []


def test_claims_checked_together_are_judged_as_alone(checker: AlignmentChecker) -> None:
    texts = ["The pier is 350 metres long.", "Bananas are grown in Ecuador.", "All boats must be insured."]
    together = checker.check([Claim(text=text, cited=(0,)) for text in texts], PASSAGES)
    assert together == [check(checker, text, 0) for text in texts]


NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from("aB1 .!?\n\t|-*#\"')]…。年é\u0301\u200d가👩🇩क्"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=300,
)


@settings(max_examples=60, deadline=None)
@given(text=NASTY, claim=NASTY, start=st.integers(0, 10**6))
def test_quotes_are_exactly_the_stored_text(checker: AlignmentChecker, text: str, claim: str, start: int) -> None:
    given_ = [passage(text, start=start), passage(HARBOUR, start=start)]
    for found in checker.check([Claim(text=each, cited=(0,)) for each in (claim, text[:500])], given_):
        assert 0 <= found.score <= 1
        for source in found.sources:
            stored = source.passage
            assert stored.start <= source.start < source.end <= stored.end
            assert source.text == stored.text[source.start - stored.start : source.end - stored.start]


def test_threads_get_the_same_as_one(checker: AlignmentChecker) -> None:
    texts = [
        "The pier is 350 metres long.",
        "Sales decreased in 2019.",
        "Tesla was born in Smiljan.",
        "All boats sink.",
    ] * 8
    alone = [check(checker, text, 0) for text in texts]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda text: check(checker, text, 0), texts)) == alone


@pytest.mark.parametrize(
    "claim",
    [
        "a1, " * 500,
        "Ann 1921 not " * 150,
        "increase decrease " * 110,
        "x" * 2_000,
        "1 and 2, and " * 150,
        "Paul " * 400,
    ],
)
def test_long_claims_over_many_passages_end(checker: AlignmentChecker, claim: str) -> None:
    many = [passage(f"{claim[:1500]} number {n}.") for n in range(50)]
    (found,) = checker.check([Claim(text=claim, cited=(3,))], many)  # quadratic work would run past the limit of a test
    assert 0 <= found.score <= 1


def test_reading_ahead_changes_no_judgement(checker: AlignmentChecker) -> None:
    text = "Boats of up to 5 km from the pier pay 20 percent less."
    fresh = check(checker, text, 0)
    for wholly in (False, True):
        assert list(checker.warm(PASSAGES, wholly=wholly))
        assert check(checker, text, 0) == fresh


JUDGED = [
    "The harbour opened in 1921 and has 1,200 berths.",
    "The harbour opened in 1931 and has 1,200 berths.",
    "Boats within five km of the pier pay a fifth less.",
    "The company has led Norway since the spring.",
    "Sales rose, and the board turned the offer down.",
    "Bananas are grown in Ecuador by small farmers.",
    "Tesla, who was born in Smiljan, was hired by Edison, and dogs are not allowed on the pier.",
    "The board accepted the offer of Acme Corp. on 12 May 2019.",
    "Nothing.",
]


@pytest.mark.parametrize("text", JUDGED)
@pytest.mark.parametrize("cited", [(), (0,), (1,), (2, 0)])
def test_what_is_enough_decides_as_the_exact_support_does(
    checker: AlignmentChecker, text: str, cited: tuple[int, ...]
) -> None:
    claim = Claim(text=text, cited=cited)
    for least in (checker.threshold, 0.5):
        (exact,) = checker.check([claim], PASSAGES)
        (told,) = checker.check([claim], PASSAGES, least=least)
        assert (told.score >= least) == (exact.score >= least)
        if exact.score >= least:
            assert [each.text for each in told.sources] == [each.text for each in exact.sources]


class Counted(HashingEncoder):
    """Counts what it computes."""

    encoded = 0

    def encode(self, kind: Kind, batch: Sequence[Prepared]) -> Matrix:
        self.encoded += len(batch)
        return super().encode(kind, batch)


@pytest.fixture(name="counted")
def _counted() -> Iterator[tuple[AlignmentChecker, Counted]]:
    encoder = Counted(dimensions=256)
    embedder = BatchingEmbedder(encoder)
    yield AlignmentChecker(embedder), encoder
    embedder.close()


@pytest.mark.parametrize(
    "text",
    [
        "The harbour opened in 1921 and has 1,200 berths.",
        "Bananas are grown in Ecuador by small farmers.",
        "Quarks obey quantum chromodynamics.",
    ],
)
def test_no_vector_is_made_where_words_are_enough(counted: tuple[AlignmentChecker, Counted], text: str) -> None:
    checker, encoder = counted
    before = encoder.encoded
    (found,) = checker.check([Claim(text=text, cited=(0,))], PASSAGES, least=checker.threshold)
    assert encoder.encoded == before
    assert (found.score >= checker.threshold) == text.startswith("The harbour")


def test_what_was_read_wholly_costs_one_vector_a_sentence(counted: tuple[AlignmentChecker, Counted]) -> None:
    checker, encoder = counted
    list(checker.warm(PASSAGES, wholly=True))
    before = encoder.encoded
    checker.check([Claim(text="Boats within five km of the pier pay a fifth less.", cited=(0,))], PASSAGES)
    assert encoder.encoded == before + 1


def test_nothing_that_speaks_against_a_claim_counts_for_it() -> None:
    fitted = model.load()
    assert all(weight <= 0 for name, weight in zip(NAMES, fitted.weights, strict=True) if name in AGAINST)
    assert 0 < fitted.threshold < 1
    assert np.isfinite(fitted.weights).all()
