"""What is read out of a sentence: numbers, units, dates, denials, names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.support import facts
from app.text import polarity, quantities, words
from app.text.quantities import Date, Quantity


def numbers(text: str) -> list[tuple[float, str]]:
    return [(one.values[0], one.unit) for one in quantities.of(text)[0]]


def dates(text: str) -> list[tuple[int | None, int | None, int | None]]:
    return [(one.year, one.month, one.day) for one in quantities.of(text)[1]]


def number(text: str) -> Quantity:
    (found,) = quantities.of(text)[0]
    return found


def date(text: str) -> Date:
    (found,) = quantities.of(text)[1]
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,200 berths", [(1200, "")]),
        ("12000 berths", [(12000, "")]),
        ("1.2 thousand berths", [(1200, "")]),
        ("1.200,50 euros", [(1200.5, "euro")]),
        ("3,5 km", [(3.5, "kilometre")]),
        ("0.75 of it", [(0.75, "")]),
        ("Call +47 22 12 34 56 for 2 berths", [(4722123456, ""), (2, "")]),
        ("Ring (212) 555-0147, room 12", [(2125550147, ""), (12, "")]),
        ("from 12 34 to 56 metres", [(12, ""), (34, "metre"), (56, "metre")]),
        ("$3.5 million", [(3_500_000, "dollar")]),
        ("£20m and €5bn", [(20_000_000, "pound"), (5_000_000_000, "euro")]),
        ("a 5 metre pole", [(5, "metre")]),
        ("20 percent, 20 per cent, 20%", [(20, "percent")] * 3),
        ("two hundred and fifty people", [(250, "")]),
        ("twenty-five miles", [(25, "mile")]),
        ("half a million", [(500_000, "")]),
        ("a dozen eggs", [(12, "")]),
        ("the twenty-first century", [(21, "century")]),
        ("the 19th century", [(19, "century")]),
        ("a 5-mile walk", [(5, "mile")]),
        ("19 square kilometres and 19 km²", [(19, "square kilometre")] * 2),
        ("98.6 °F", [(98.6, "degree f")]),
        ("between 5 and 10 percent", [(5, "percent"), (10, "percent")]),
        ("5-10%", [(5, "percent"), (10, "percent")]),
        ("2,000 km in 2000", [(2000, "kilometre")]),
        ("-34 metres above, minus 3 below", [(34, "metre"), (-3, "")]),  # what opens a line may be a bullet
        ("at -34 metres, at −3.5 °C", [(-34, "metre"), (-3.5, "degree c")]),  # noqa: RUF001 - the mark itself
        ("12 degrees below zero", [(-12, "degree")]),
        ("1½, 1 1/4 and ¾ hours", [(1.5, ""), (1.25, "hour"), (0.75, "hour")]),
        ("3/4 of it, 9/11, 24/7", [(0.75, ""), (9, ""), (11, ""), (24, ""), (7, "")]),
        ("an hour and a half", [(1.5, "hour")]),
        ("one and a half hours, half an hour", [(1.5, "hour"), (0.5, "hour")]),
        ("two thirds, one quarter, a third party", [(2 / 3, ""), (0.25, ""), (3, "")]),
        ("EUR 2.9m, 2.9 million euros", [(2_900_000, "euro")] * 2),
        ("3 bar, 3 mbar, 3 psi, 800 lumen", [(3, "bar"), (3, "millibar"), (3, "psi"), (800, "lumen")]),
        ("07:10, 23:35, 11:35 pm, 8 p.m.", [(430, "clock"), (1415, "clock"), (1415, "clock"), (1200, "clock")]),
        ("from 9 to 5 pm", [(540, "clock"), (1020, "clock")]),
        ("Q3 2022, the third quarter of 2022", [(3, "quarter"), (3, "quarter")]),
        ("Henry VIII, Chapter IV, Malcolm XXXIX", [(8, ""), (4, ""), (39, "")]),
        ("When I met Ann, Xi saw an IV drip and Mr IIX", []),
        ("H2O and B52", []),
        ("no number at all", []),
    ],
)
def test_numbers_are_values_with_units(text: str, expected: list[tuple[float, str]]) -> None:
    assert numbers(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on March 12, 1921", [(1921, 3, 12)]),
        ("on 12 March 1921", [(1921, 3, 12)]),
        ("on the 12th of March, 1921", [(1921, 3, 12)]),
        ("on Sept. 5, 2001", [(2001, 9, 5)]),
        ("on 1921-03-12", [(1921, 3, 12)]),
        ("on 25/03/1921", [(1921, 3, 25)]),
        ("on 12.03.1921", [(1921, 3, 12)]),
        ("in March 1921", [(1921, 3, None)]),
        ("on March 12", [(None, 3, 12)]),
        ("in March", [(None, 3, None)]),
        ("in 1921", [(1921, None, None)]),
        ("1990-95", [(1990, None, None), (1995, None, None)]),
        ("in the 1990s", [(1990, None, None)]),
        ("in 44 BC", [(-44, None, None)]),
        ("in AD 79", [(79, None, None)]),
        ("完成は1991年だ", [(1991, None, None)]),
        ("it may march on", []),
        ("$1921", []),
        ("1200 km", []),
    ],
)
def test_dates_are_years_months_and_days(text: str, expected: list[tuple[int | None, int | None, int | None]]) -> None:
    assert dates(text) == expected


@pytest.mark.parametrize(
    ("said", "source", "agree"),
    [
        ("12,000", "12000", True),
        ("1.2 thousand", "1,200", True),
        ("twelve", "12", True),
        ("1,200", "1,300", False),
        ("about 1.2 million", "1,234,567", True),
        ("1.2 million", "1,234,567", False),  # not said to be about
        ("about 1.3 million", "1,234,567", False),
        ("over 326", "over 330", False),  # not the rounder one
        ("1.200", "1,200", True),
    ],
)
def test_numbers_agree_by_their_value(said: str, source: str, agree: bool) -> None:  # noqa: FBT001 - the table's column
    assert quantities.same(number(said), number(source)) is agree


def test_units_differ_only_where_both_are_known() -> None:
    assert quantities.units_differ(number("5 km"), number("5 miles"))
    assert not quantities.units_differ(number("5 km"), number("5 kilometers"))
    assert not quantities.units_differ(number("5 km"), number("5 apples"))
    assert not quantities.units_differ(number("5 degrees"), number("5 °C"))
    assert quantities.units_differ(number("5 °F"), number("5 °C"))


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("500 euros a month", "month"),
        ("500 euros per year", "year"),
        ("60 km/h", "hour"),
        ("5 visits each week", "week"),
        ("25 days annually", "year"),
        ("the monthly rent is 500", "month"),
        ("500 euros", ""),
        ("500 in a month", ""),
    ],
)
def test_numbers_may_be_said_of_a_period(text: str, period: str) -> None:
    assert number(text).per == period


def test_periods_differ_only_where_both_are_known() -> None:
    assert quantities.units_differ(number("500 euros a month"), number("500 euros a year"))
    assert not quantities.units_differ(number("500 euros a month"), number("500 euros"))
    assert quantities.units_differ(number("at 8 pm"), number("1,200"))


@pytest.mark.parametrize(
    ("said", "source", "turned"),
    [
        ("2 to 7", "7 to 2", True),
        ("2 votes to 7", "7-2", True),
        ("7 to 2", "7 votes to 2", False),
        ("2 to 2", "2 to 2", False),
        ("2 or 7", "7 to 2", False),
    ],
)
def test_pairs_of_numbers_have_an_order(said: str, source: str, turned: bool) -> None:  # noqa: FBT001 - the table's column
    assert quantities.turned(quantities.of(said)[0][0], quantities.of(source)[0][0]) is turned


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("Write to Help@Example.org.", ["help@example.org"]),
        ("See https://www.example.com/a/b/, or example.org.", ["example.com/a/b", "example.org"]),
        ("Pump KT-55817-B, flight BA2490, key a1b2c3", ["kt55817b", "ba2490", "a1b2c3"]),
        ("a 16-year-old of the 1990s ran 500KM at 3:30PM in FY2019, e.g. in a B-52 of COVID-19", []),
        ("It ended.The next began at 3.5 km/h, 1/2 and 100-m", []),
    ],
)
def test_addresses_and_codes_are_told_from_words(text: str, exact: list[str]) -> None:
    assert sorted(facts.exact(text)) == sorted(exact)


def test_sources_hold_the_shorter_forms_of_addresses_and_parted_codes() -> None:
    held = facts.exact_held("Mail a.b@mail.example.org or read http://docs.example.com/a/b?x=1. The pump KT 55817 B.")
    assert {"a.b@mail.example.org", "mail.example.org", "example.org", "docs.example.com/a", "kt55817b"} <= held
    assert not {"b@mail.example.org", "docs.example.com/b", "kt55817"} <= held


@pytest.mark.parametrize(
    ("said", "source", "agree"),
    [
        ("1921", "12 March 1921", True),
        ("12 March 1921", "March 12, 1921", True),
        ("12 March 1921", "1921", True),  # it does not say all, but nothing else either
        ("12 March 1921", "13 March 1921", False),
        ("12 March 1921", "12 April 1921", False),
        ("12 March 1921", "12 March 1922", False),
        ("the 1990s", "in 1993", True),
        ("in 1993", "the 1990s", False),
        ("on 02/07/2016", "7 February 2016", True),
    ],
)
def test_dates_agree_where_no_part_is_otherwise(said: str, source: str, agree: bool) -> None:  # noqa: FBT001 - the table's column
    assert quantities.fits(date(said), date(source)) is agree


def test_a_year_does_not_say_the_day() -> None:
    assert quantities.says_all(date("1921"), date("12 March 1921"))
    assert not quantities.says_all(date("12 March 1921"), date("1921"))


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("Dogs are not allowed here", [("allow",)]),
        ("They didn't open the gate", [("open", "gate")]),
        ("He never married", [("marri",)]),
        ("without a permit", [("permit",)]),
        ("it failed to open", [("open",)]),
        ("not only cheap", []),
        ("dogs are allowed", []),
    ],
)
def test_denials_say_what_they_deny(text: str, denied: list[tuple[str, ...]]) -> None:
    assert [scope for _, scope in facts.of(text).denials] == denied


@pytest.mark.parametrize(
    ("one", "other"), [("increased", "decreased"), ("before", "after"), ("more", "less"), ("northern", "southern")]
)
def test_opposites_are_known_both_ways(one: str, other: str) -> None:
    assert words.stem(other) in polarity.opposites(words.stem(one))
    assert words.stem(one) in polarity.opposites(words.stem(other))


def test_a_prefix_denies() -> None:
    assert "unsuccess" in polarity.negatives("success")
    assert "success" in polarity.negatives("unsuccess")
    assert polarity.negatives("inn") == ()


def test_names_are_runs_of_capitals_without_what_opens_a_sentence() -> None:
    found = facts.of("The tower of Nikola Tesla in New York was Tesla's own, not Edison's.").names
    assert list(dict.fromkeys(name.whole for name in found)) == ["Nikola Tesla", "New York", "Tesla", "Edison"]


def test_what_is_said_stands_in_its_order() -> None:
    assert facts.of("In 1921 Ann Lee paid 20% for the boat.").chain == (
        "@1921/None/None",
        "~ann lee",
        "paid",
        "#20",
        "boat",
    )


NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from("aA1,. $€%-–/:'’\n0²年東nottMayst"),  # noqa: RUF001 - the marks themselves
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=200,
)


@given(NASTY)
def test_any_text_can_be_read_and_facts_stand_inside_it(text: str) -> None:
    found, moments = quantities.of(text)
    for start, end in [*((one.start, one.end) for one in found), *((one.start, one.end) for one in moments)]:
        assert 0 <= start < end <= len(text)
    said = facts.of(text)
    assert len(said.plain) == len(said.stems)
    assert facts.joined([said, said]).plain == said.plain * 2


@pytest.mark.parametrize(
    "text",
    [
        "1," * 5_000,
        "9" * 10_000,
        "not " * 3_000,
        "Aa " * 3_000,
        "one hundred " * 2_000,
        "1/" * 5_000,
        "May 1 " * 2_000,
        "-1 " * 5_000,
        "1:10 " * 4_000,
    ],
)
def test_hostile_runs_are_read_in_bounded_time(text: str) -> None:
    said = facts.of(text)  # a quadratic reading would run past the limit of a test
    assert len(facts.exact(text)) <= len(facts.exact_held(text))
    assert said.stems or said.quantities or said.dates
