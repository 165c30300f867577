"""Numbers of a text as values with their units, and its dates as years, months and days: what two texts must agree on."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import math
import re
from collections.abc import Sequence

from app.text import personal, words

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[¼½¾⅓⅔]|[^\W\d_¼½¾⅓⅔]+|[^\w\s]")
_MOST_TOKENS = 20_000  # of one text; what stands behind is not read
_FIRST_YEAR, _LAST_YEAR = 1000, 2100
_DIGITS_OF_YEAR = 4
_MONTHS_OF_YEAR = 12
_DAYS_OF_MONTH = 31
_THREE = 3  # digits of a group of thousands
_CALLED = frozenset((personal.Kind.PHONE, personal.Kind.CARD, personal.Kind.IBAN, personal.Kind.SSN))
_LEAST_DIGITS = 7  # of such a number
_EXACT_DIGITS = 15  # that a float holds
_ROUND = 0.05  # how far a number that is said to be about may lie from the one that it rounds

_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = {name[:length]: at for at, name in enumerate(_MONTH_NAMES.split(), 1) for length in (3, len(name))} | {
    "sept": 9
}
_WORDY_MONTHS = frozenset({"may", "march", "mar", "jan", "dec"})  # which are other words too
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMERALS = {word: at for at, word in enumerate(_ONES.split())} | {
    word: 10 * at for at, word in enumerate(_TENS.split(), 2)
}
_ORDINALS_LISTED = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
)
_TENTHS = "twentieth thirtieth fortieth fiftieth sixtieth seventieth eightieth ninetieth"
_ORDINALS = {word: at for at, word in enumerate(_ORDINALS_LISTED.split()) if at} | {
    word: 10 * at for at, word in enumerate(_TENTHS.split(), 2)
}
_SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12} | {
    "hundreds": 1e2, "thousands": 1e3, "millions": 1e6, "billions": 1e9, "dozen": 12.0, "bn": 1e9, "mn": 1e6,
}  # fmt: skip
_SHORT_SCALES = {"k": 1e3, "m": 1e6, "b": 1e9}  # behind money alone: `5 m` is a length
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"} | {
    "usd": "dollar", "eur": "euro", "gbp": "pound", "jpy": "yen", "inr": "rupee", "chf": "franc",
}  # fmt: skip
_FRACTIONS = {"¼": 0.25, "½": 0.5, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3}
_PARTS = {"half": 0.5, "quarter": 0.25}
_EQUAL_PARTS = {"third": 3, "thirds": 3, "quarter": 4, "quarters": 4, "fifth": 5, "fifths": 5, "eighths": 8}
_DENOMINATORS = frozenset("23458")  # `3/4`; `9/11` and `24/7` are no fractions
_MINUS = frozenset({"minus", "negative"})
_PER = frozenset({"a", "an", "per", "each", "every", "/"})
_PERIODS_LISTED = """
second second s
minute minute min
hour hour h hr hourly
day day daily
week week weekly
month month monthly
quarter quarter quarterly
year year yearly annum annual annually
"""
_PERIODS = {word: line.split()[0] for line in _PERIODS_LISTED.split("\n") if line for word in line.split()[1:]}
_PERIODICAL = frozenset({"hourly", "daily", "weekly", "monthly", "quarterly", "yearly", "annual", "annually"})
_PERIOD_BEFORE = 4  # words before a number among which `monthly` is said of it: `the monthly rent is 5`
_CLOCK = "clock"  # unit of a time of day, in minutes
_HALF_DAY = 720  # minutes
_ROMAN = {"i": 1, "v": 5, "x": 10}  # of numbers behind a name: `Henry VIII`, `Chapter IV`; larger ones look like words
_PAIR = re.compile(r"\s*(?:[^\W\d_]{1,20}\s+)?to\s*|\s?[-–—]\s?")  # noqa: RUF001 - the marks themselves
_LONGEST_PAIR = 30  # code points between two numbers of a score
_ERAS = {"bc": -1, "bce": -1, "ad": 1, "ce": 1}
_HEDGE_WORDS = (
    "about around approximately approx roughly nearly almost some over circa ca estimated close more than least up "
    "exceeding under"
)
_HEDGES = frozenset(_HEDGE_WORDS.split())
_RANGE_JOINTS = frozenset({"-", "–", "—", "to", "and", "or"})  # noqa: RUF001 - the marks themselves
_LONGEST_JOINT = 8  # code points
_DASHES = frozenset("-–—‐‑−")  # noqa: RUF001 - the marks themselves

# Each line a unit: its name, then how it is written.
_UNITS_LISTED = """
kilometre km kilometer kilometers kilometre kilometres kms
mile mi mile miles
metre metre metres meter meters
centimetre cm centimetre centimetres centimeter centimeters
millimetre mm millimetre millimetres millimeter millimeters
foot ft foot feet
inch inch inches
yard yd yard yards
hectare ha hectare hectares
acre acre acres
kilogram kg kilogram kilograms kilogramme kilogrammes kilo kilos
gram gram grams gramme grammes
tonne tonne tonnes ton tons
ounce oz ounce ounces
pound lb lbs pound pounds gbp
litre litre litres liter liters
gallon gallon gallons
barrel barrel barrels
second sec second seconds
minute min minute minutes mins
hour hr hour hours hrs
day day days
week week weeks
month month months
year year years yr yrs
decade decade decades
century century centuries
degree degree degrees °
kelvin kelvin kelvins
hertz hz hertz
kilohertz khz kilohertz
megahertz mhz megahertz
gigahertz ghz gigahertz
watt watt watts
kilowatt kw kilowatt kilowatts
megawatt mw megawatt megawatts
volt volt volts
kilovolt kv kilovolt kilovolts
byte byte bytes
kilobyte kb kilobyte kilobytes
megabyte mb megabyte megabytes
gigabyte gb gigabyte gigabytes
percent % percent pct percentage
dollar usd dollar dollars
euro eur euro euros
yen yen jpy
franc chf franc francs
rupee inr rupee rupees
krone nok dkk krone kroner
krona sek krona kronor
cent cent cents
bar bar
millibar mbar millibar millibars
psi psi
pascal pascal pascals
hectopascal hpa hectopascal hectopascals
kilopascal kpa kilopascal kilopascals
megapascal mpa megapascal megapascals
newton newton newtons
joule joule joules
kilojoule kj kilojoule kilojoules
megajoule mj megajoule megajoules
calorie kcal calorie calories kilocalorie kilocalories
candela candela candelas
lumen lm lumen lumens
lux lux
knot knot knots
ampere amp amps ampere amperes
ohm ohm ohms
decibel db decibel decibels
millilitre ml millilitre millilitres milliliter milliliters
milligram mg milligram milligrams
microgram mcg microgram micrograms
gigawatt gw gigawatt gigawatts
kilowatthour kwh
megawatthour mwh
terabyte tb terabyte terabytes
pint pint pints
"""
_UNITS = {word: line.split()[0] for line in _UNITS_LISTED.split("\n") if line for word in line.split()[1:]}
_VAGUE_UNITS = frozenset({"degree"})  # of Celsius or another
_POWERS = {"square": "square ", "sq": "square ", "cubic": "cubic "}
_NAUTICAL = frozenset({"nautical", "light", "metric", "short", "long"})


@dataclasses.dataclass(frozen=True, slots=True)
class Quantity:
    """A number at characters [start, end) of a text."""

    start: int
    end: int
    values: tuple[float, ...]  # as it may be read: `1.200` is 1.2 or 1200
    unit: str  # by one name for each; empty where none is known
    ordinal: bool = False
    hedged: bool = False  # said to be about or more than
    weak: bool = False  # `one`, which is mostly no number
    per: str = ""  # the period that it is said of: `month`
    pair: float | None = None  # the other number of a score that begins with this one: `7 to 2`


@dataclasses.dataclass(frozen=True, slots=True)
class Date:
    """A date at characters [start, end) of a text; what is not said is None."""

    start: int
    end: int
    year: int | None = None  # below 0 before Christ
    month: int | None = None
    day: int | None = None
    decade: bool = False  # the year is the first of ten
    swapped: bool = False  # day and month may stand the other way round

    @property
    def year_alone(self) -> bool:
        """Whether it may be no date but a number."""
        return self.year is not None and self.month is None


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    text: str  # in lower case
    start: int
    end: int
    capital: bool

    @property
    def digits(self) -> bool:
        return self.text[0].isdecimal()


def of(text: str) -> tuple[list[Quantity], list[Date]]:
    """Numbers and dates in their order. Linear in the length of the text."""
    return _Reader(text).read()


def same(said: Quantity, source: Quantity) -> bool:
    """Whether both are one value, whatever the unit; one that is said to be about may be the source's rounded."""
    return any(
        math.isclose(mine, theirs, rel_tol=1e-9) or (said.hedged and _rounds(mine, theirs))
        for mine in said.values
        for theirs in source.values
    )


def units_differ(one: Quantity, other: Quantity) -> bool:
    """Whether both have a unit, or a period, and not the same; a time of day is nothing else."""
    units = {one.unit, other.unit}
    known = (one.unit and other.unit and not units & _VAGUE_UNITS) or _CLOCK in units
    return bool(known and one.unit != other.unit) or bool(one.per and other.per and one.per != other.per)


def is_measure(word: str) -> bool:
    """Whether a word in lower case is a unit, a currency or a scale, as in `500KM`."""
    return word in _UNITS or word in _CURRENCIES or word in _SCALES or word in _SHORT_SCALES


def turned(said: Quantity, source: Quantity) -> bool:
    """Whether both begin a pair of numbers, each in the other's order: `2 to 7` of `7 to 2`."""
    return said.pair != source.pair and said.pair in source.values and source.pair in said.values


def fits(said: Date, source: Date) -> bool:
    """Whether nothing of the one is otherwise in the other; what only one of them says does not count."""
    if said.year is not None and source.year is not None and not _years_fit(said, source):
        return False
    turned = dataclasses.replace(source, day=source.month, month=source.day)
    return any(
        all(mine is None or theirs is None or mine == theirs for mine, theirs in ((said.month, each.month), (said.day, each.day)))
        for each in ((source, turned) if said.swapped or source.swapped else (source,))
    )  # fmt: skip


def says_all(said: Date, source: Date) -> bool:
    """Whether the source has each part that is said."""
    pairs = ((said.year, source.year), (said.month, source.month), (said.day, source.day))
    return all(mine is None or theirs is not None for mine, theirs in pairs)


def _years_fit(said: Date, source: Date) -> bool:
    if said.decade and said.year is not None and source.year is not None:
        return said.year // 10 == source.year // 10
    return said.year == source.year and not source.decade


def _rounds(rough: float, fine: float) -> bool:
    """Whether the first has fewer digits, and is the second rounded to these."""
    if _digits(rough) >= _digits(fine):
        return False
    if not (rough and fine and math.isfinite(rough) and math.isfinite(fine)) or abs(rough - fine) > _ROUND * abs(fine):
        return False
    size = 10.0 ** (math.floor(math.log10(abs(rough))) - _digits(rough) + 1)
    return abs(rough - fine) < size


def written(value: float) -> str:
    """A value as a word that is the same for the same value."""
    return f"{value:.10g}"


def _digits(value: float) -> int:
    return len(f"{abs(value):.10g}".replace(".", "").strip("0")) if math.isfinite(value) else 0


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [
            _Token(found.group().lower(), found.start(), found.end(), found.group()[0].isupper())
            for found, _ in zip(_TOKEN.finditer(text), range(_MOST_TOKENS), strict=False)
        ]
        self._numbers = collections.deque(_called(text))
        self._quantities: list[Quantity] = []
        self._scales: list[float] = []  # of each quantity
        self._dates: list[Date] = []

    def read(self) -> tuple[list[Quantity], list[Date]]:
        at = 0
        while at < len(self._tokens):
            at = self._called(at) or self._date(at) or self._other(at) or self._quantity(at) or at + 1
        self._ranges()
        return self._quantities, self._dates

    def _called(self, at: int) -> int:
        """Behind the number of a telephone, card or account that begins here, which is one number, none of its groups is."""
        while self._numbers and self._numbers[0].start < self._tokens[at].start:
            self._numbers.popleft()
        if not self._numbers or self._numbers[0].start != self._tokens[at].start:
            return 0
        number = self._numbers.popleft()
        digits = "".join(filter(str.isdecimal, self._text[number.start : number.end]))
        while at < len(self._tokens) and self._tokens[at].start < number.end:
            at += 1
        return self._keep(Quantity(number.start, number.end, values=(float(digits[-_EXACT_DIGITS:]),), unit=""), at)

    def _ranges(self) -> None:
        """Give the first number of `5 to 10 million km` what is said of both, and that of a score the second one."""
        for at, (former, other) in enumerate(itertools.pairwise(self._quantities)):
            between = self._text[former.end : other.start]
            paired = len(between) <= _LONGEST_PAIR and _PAIR.fullmatch(between)
            one = dataclasses.replace(former, pair=other.values[0]) if paired else former
            self._quantities[at] = one
            if len(between) > _LONGEST_JOINT or between.strip().lower() not in _RANGE_JOINTS or one.unit:
                continue
            scaled = one.values
            if self._scales[at] == 1 and self._scales[at + 1] != 1:
                scaled += tuple(value * self._scales[at + 1] for value in one.values)
            if other.unit == _CLOCK:
                scaled = tuple(60 * value + half for value in one.values for half in (0, _HALF_DAY))
            self._quantities[at] = dataclasses.replace(one, unit=other.unit, values=scaled)

    def _word(self, at: int) -> str:
        return self._tokens[at].text if 0 <= at < len(self._tokens) else ""

    def _joined(self, at: int) -> bool:
        """Whether the token stands right behind the one before it."""
        return 0 < at < len(self._tokens) and self._tokens[at - 1].end == self._tokens[at].start

    def _add_date(self, first: int, last: int, **parts: int | bool | None) -> int:
        self._dates.append(Date(self._tokens[first].start, self._tokens[last].end, **parts))  # type: ignore[arg-type]
        return last + 1

    # Dates

    def _date(self, at: int) -> int:
        """Behind the date that begins here; 0 where none does."""
        token = self._tokens[at]
        if token.digits:
            if self._in_a_word(at):
                return 0
            return self._numeric(at) or self._day_first(at) or self._year(at)
        if self._is_month(at):
            return self._month_first(at)
        if token.text in ("ad", "ce") and token.capital and self._small(at + 1, 4):
            return self._add_date(at, at + 1, year=int(self._word(at + 1)))
        return 0

    def _numeric(self, at: int) -> int:
        """1921-03-12, 12/03/1921, 12.03.1921."""
        pieces = self._word(at).split(".")
        if len(pieces) == _THREE and all(piece.isdecimal() for piece in pieces):
            return self._from_pieces(at, at, pieces)
        mark = self._word(at + 1)
        if (
            (mark == "/" or mark in _DASHES)
            and self._word(at + 3) == mark
            and all(map(self._joined, range(at + 1, at + 5)))
        ):
            pieces = [self._word(at + step) for step in (0, 2, 4)]
            if all(piece.isdecimal() for piece in pieces):
                return self._from_pieces(at, at + 4, pieces)
        return 0

    def _from_pieces(self, first: int, last: int, pieces: Sequence[str]) -> int:
        one, two, three = (int(piece) if len(piece) <= _DIGITS_OF_YEAR else 0 for piece in pieces)
        if len(pieces[0]) == _DIGITS_OF_YEAR and _is_day(two, three):
            return self._add_date(first, last, year=one, month=two, day=three)
        if len(pieces[2]) == _DIGITS_OF_YEAR and (_is_day(two, one) or _is_day(one, two)):
            day, month = (one, two) if _is_day(two, one) else (two, one)
            return self._add_date(first, last, year=three, month=month, day=day, swapped=_is_day(day, month))
        return 0

    def _day_first(self, at: int) -> int:
        """12 March 1921, 12th of March."""
        if not self._small(at, 2) or not 0 < int(self._word(at)) <= _DAYS_OF_MONTH:
            return 0
        after = at + 1
        after += self._word(after) in ("st", "nd", "rd", "th")
        after += self._word(after) == "of"
        if not self._is_month(after):
            return 0
        month = _MONTHS[self._word(after)]
        after = self._behind_month(after)
        year_at = after + (self._word(after) == ",")
        if self._four(year_at):
            return self._add_date(at, year_at, year=int(self._word(year_at)), month=month, day=int(self._word(at)))
        return self._add_date(at, after - 1, month=month, day=int(self._word(at)))

    def _month_first(self, at: int) -> int:
        """March 12, 1921; March 1921; March."""
        month = _MONTHS[self._word(at)]
        after = self._behind_month(at)
        year_at = after + (self._word(after) in (",", "of"))
        if self._four(year_at):
            return self._add_date(at, year_at, year=int(self._word(year_at)), month=month)
        if (
            self._small(after, 2)
            and 0 < int(self._word(after)) <= _DAYS_OF_MONTH
            and self._word(after + 1) not in _MONTHS
        ):
            day, last = int(self._word(after)), after
            last += self._word(last + 1) in ("st", "nd", "rd", "th") and self._joined(last + 1)
            year_at = last + 1 + (self._word(last + 1) == ",")
            if self._four(year_at):
                return self._add_date(at, year_at, year=int(self._word(year_at)), month=month, day=day)
            return self._add_date(at, last, month=month, day=day)
        wordy = self._word(at) in _WORDY_MONTHS and self._word(at - 1) not in (
            "in",
            "of",
            "since",
            "until",
            "by",
            "early",
            "late",
        )
        return 0 if wordy or not at else self._add_date(at, after - 1, month=month)

    def _is_month(self, at: int) -> bool:
        return self._word(at) in _MONTHS and self._tokens[at].capital

    def _behind_month(self, at: int) -> int:
        """Behind the month and the stop of its abbreviation."""
        dotted = len(self._word(at)) <= 4 and self._word(at + 1) == "." and self._joined(at + 1)  # noqa: PLR2004 - `sept`
        return at + 1 + dotted

    def _year(self, at: int) -> int:
        """A year, a decade, the second half of `1990-95`, a year before Christ."""
        era = _ERAS.get(self._word(at + 1), 0) if at + 1 < len(self._tokens) and self._tokens[at + 1].capital else 0
        if era and self._small(at, 4):
            return self._add_date(at, at + 1, year=era * int(self._word(at)))
        if not self._four(at) or self._counts(at):
            return 0
        year = int(self._word(at))
        if self._word(at + 1) == "s" and self._joined(at + 1):
            return self._add_date(at, at + 1, year=year, decade=True)
        after = self._add_date(at, at, year=year)
        if self._word(after) in _DASHES and self._joined(after) and self._joined(after + 1) and self._two(after + 1):
            return self._add_date(after + 1, after + 1, year=year // 100 * 100 + int(self._word(after + 1)))
        return after

    def _counts(self, at: int) -> bool:
        """Whether what looks like a year has a currency before or a unit behind it."""
        if self._word(at - 1) in _CURRENCIES and self._joined(at):
            return True
        after = at + 1 + (self._word(at + 1) in _DASHES)
        return bool(self._unit(after)[0]) or self._word(after) in _SCALES

    def _two(self, at: int) -> bool:
        return len(self._word(at)) == 2 and self._small(at, 2)  # noqa: PLR2004 - the digits

    def _four(self, at: int) -> bool:
        return (
            len(self._word(at)) == _DIGITS_OF_YEAR
            and self._small(at, _DIGITS_OF_YEAR)
            and _FIRST_YEAR <= int(self._word(at)) <= _LAST_YEAR
        )

    def _small(self, at: int, digits: int) -> bool:
        word = self._word(at)
        return 0 < len(word) <= digits and word.isdecimal() and not self._in_a_word(at)

    def _in_a_word(self, at: int) -> bool:
        """Whether letters stand right before the number: H2O, B52."""
        before = self._tokens[at - 1].text[-1] if self._joined(at) else ""
        return before.isalpha() and not words.spaced(before).startswith(" ")

    # Numbers

    def _other(self, at: int) -> int:
        """Behind a number that is written in a way of its own."""
        token = self._tokens[at]
        if token.digits:
            return self._clock(at)
        return self._quarter(at) or (self._roman(at) if token.capital else 0)

    def _quantity(self, at: int) -> int:
        """Behind the number that begins here; 0 where none does."""
        token = self._tokens[at]
        ordinal = weak = False
        values: tuple[float, ...]
        if token.digits and not self._in_a_word(at):
            values, after = self._numeral(at)
            if self._word(after) in ("st", "nd", "rd", "th") and self._joined(after):
                ordinal, after = True, after + 1
        elif token.text in _FRACTIONS:
            values, after = (_FRACTIONS[token.text],), at + 1
        elif token.text in _NUMERALS or (
            token.text in _ORDINALS and (token.text != "first" or self._word(at + 1) == "quarter")
        ):  # `first` is no number but the opposite of last
            value, after, ordinal = self._written(at)
            values, weak = (value,), token.text == "one" and after == at + 1
            parts, behind = self._equal_parts(after, many=value > 1)
            if parts and not ordinal:
                values, after, weak = (value / parts,), behind, False
        elif token.text in ("hundred", "dozen") or (token.text in _PARTS and self._word(at - 1) == "a"):
            values, after = (_PARTS.get(token.text, 12.0 if token.text == "dozen" else 100.0),), at + 1
        elif token.text == "half" and self._word(at + 1) in ("a", "an") and self._measures(at + 2):
            values, after = (0.5,), at + 2
        elif token.text in ("a", "an") and self._word(at + 1) in _UNITS and self._part(at + 2):
            values, after = (1.0,), at + 1
        else:
            return 0
        if not ordinal and (part := self._part(after)):
            values, after, weak = tuple(value + part for value in values), after + 3, False
        return self._add_quantity(at, after, values, ordinal=ordinal, weak=weak)

    def _add_quantity(self, at: int, after: int, values: tuple[float, ...], *, ordinal: bool, weak: bool) -> int:
        """Add a number with what stands around it: sign, currency, scale, unit, period; the place behind these."""
        sign, bullet = self._minus(at), self._bullet(at)
        money = _CURRENCIES.get(self._word(at - 1), "")
        scale, after = self._scale(after, short=bool(money))
        if ordinal and self._word(after) == "quarter":
            unit, after = "quarter", after + 1
        else:
            unit, after = self._unit(after + (self._word(after) in _DASHES and self._unit(after + 1)[0] != ""))
        if unit and (part := self._part(after)):
            values, after = tuple(value + part for value in values), after + 3
        if self._word(after) == "below" and self._word(after + 1) == "zero":
            values, after = tuple(-value for value in values), after + 2
        if sign:
            values = (*(values if bullet else ()), *(-value for value in values))
        found = Quantity(
            start=self._tokens[at - (sign or (money != "" and self._word(at - 1).isalpha()))].start,
            end=self._tokens[after - 1].end,
            values=tuple(value * scale for value in values),
            unit=money or unit,
            ordinal=ordinal,
            hedged=bool({self._word(at - 1), self._word(at - 2)} & _HEDGES),
            weak=weak and scale == 1 and not unit,
            per=self._per(at, after),
        )
        return self._keep(found, after, scale=scale)

    def _numeral(self, at: int) -> tuple[tuple[float, ...], int]:
        """The values of `1,200`, `1½`, `1 1/4` and `3/4`, and the place behind."""
        values, after = _readings(self._word(at)), at + 1
        if fraction := self._fraction(at):
            return (fraction,), at + 3
        if self._word(after) in _FRACTIONS:
            return tuple(value + _FRACTIONS[self._word(after)] for value in values), after + 1
        if fraction := self._fraction(after):
            return tuple(value + fraction for value in values), after + 3
        return values, after

    def _fraction(self, at: int) -> float:
        """What `3/4` here is; 0 where none stands."""
        above, below = self._word(at), self._word(at + 2)
        whole = self._word(at + 1) == "/" and self._joined(at + 1) and self._joined(at + 2)
        if not whole or below not in _DENOMINATORS or len(above) != 1 or not above.isdecimal() or above >= below:
            return 0.0
        return 0.0 if self._word(at + 3) == "/" else int(above) / int(below)

    def _equal_parts(self, at: int, *, many: bool) -> tuple[int, int]:
        """How many parts make a whole where `thirds` stands here, and the place behind; 0 where none does."""
        at += self._word(at) in _DASHES
        word = self._word(at)
        return (_EQUAL_PARTS.get(word, 0) if word.endswith("s") == many else 0), at + 1

    def _part(self, at: int) -> float:
        """What `and a half` here adds; 0 where it does not stand."""
        if self._word(at) != "and" or self._word(at + 1) != "a":
            return 0.0
        return 0.0 if self._word(at + 3) == "of" else _PARTS.get(self._word(at + 2), 0.0)

    def _measures(self, at: int) -> bool:
        return self._word(at) in _SCALES or self._word(at) in _UNITS

    def _minus(self, at: int) -> bool:
        """Whether a sign stands before the number that makes it less than nothing; a dash behind a word or number is none."""
        sign = self._word(at - 1)
        if sign in _MINUS:
            return True
        bare = at < 2 or not (self._joined(at - 1) or self._tokens[at - 2].digits)  # noqa: PLR2004 - the sign, and one before
        return sign in _DASHES and self._joined(at) and (bare or self._word(at - 2) in ("(", "[", *_CURRENCIES))

    def _bullet(self, at: int) -> bool:
        """Whether the sign before a number opens a line, where it may be none."""
        behind = self._tokens[at - 2].end if at > 1 else 0
        return self._word(at - 1) in _DASHES and (at == 1 or "\n" in self._text[behind : self._tokens[at - 1].start])

    def _per(self, at: int, after: int) -> str:
        """The period of which a number is said: `a month` behind it or its noun, `monthly` around it."""
        for behind in (after,) if self._word(after) in words.STOP_WORDS else (after, after + 1):
            if self._word(behind) in _PER and self._word(behind + 1) in _PERIODS:
                return _PERIODS[self._word(behind + 1)]
            if self._word(behind) in _PERIODICAL:
                return _PERIODS[self._word(behind)]
        said = [word for before in range(1, _PERIOD_BEFORE + 1) if (word := self._word(at - before)) in _PERIODICAL]
        return _PERIODS[said[0]] if said else ""

    def _quarter(self, at: int) -> int:
        """Behind `Q3`."""
        if self._word(at) != "q" or not self._joined(at + 1) or self._word(at + 1) not in ("1", "2", "3", "4"):
            return 0
        found = Quantity(
            self._tokens[at].start,
            self._tokens[at + 1].end,
            values=(float(self._word(at + 1)),),
            unit="quarter",
            ordinal=True,
        )
        return self._keep(found, at + 2)

    def _roman(self, at: int) -> int:
        """Behind the Roman number of a name."""
        token, before = self._tokens[at], self._tokens[at - 1] if at else None
        written = self._text[token.start : token.end]
        if not before or not before.capital or (written == "I" and before.text in words.STOP_WORDS):
            return 0
        value = _roman(token.text) if written.isupper() and self._text[before.end : token.start] == " " else 0
        if not value:
            return 0
        found = Quantity(token.start, token.end, values=(float(value),), unit="", ordinal=True, weak=written == "I")
        return self._keep(found, at + 1)

    def _clock(self, at: int) -> int:
        """Behind a time of day: `23:35`, `11:35 pm`, `8 p.m.`."""
        if not self._small(at, 2):
            return 0
        hour, minute, after = int(self._word(at)), 0, at + 1
        colon = self._word(after) == ":" and self._joined(after) and self._joined(after + 1) and self._two(after + 1)
        if colon:
            minute, after = int(self._word(after + 1)), after + 2
        half, after = self._half_of_day(after)
        if not (colon or half) or hour > (12 if half else 24) or minute > 59:  # noqa: PLR2004 - of a clock
            return 0
        minutes = 60 * (hour % 12 if half else hour) + minute + (_HALF_DAY if half == "p" else 0)
        either = not half and 0 < hour <= 12 and self._word(at)[0] != "0"  # noqa: PLR2004 - of a clock
        values = (float(minutes), float((minutes + _HALF_DAY) % (2 * _HALF_DAY))) if either else (float(minutes),)
        return self._keep(
            Quantity(self._tokens[at].start, self._tokens[after - 1].end, values=values, unit=_CLOCK), after
        )

    def _half_of_day(self, at: int) -> tuple[str, int]:
        """`a` or `p` of `a.m.` and `pm`, and the place behind."""
        word = self._word(at)
        if word in ("am", "pm"):
            return word[0], at + 1
        dotted = [self._word(at + step) for step in range(4)]
        if dotted[0] in ("a", "p") and dotted[1:3] == [".", "m"]:
            return dotted[0], at + 3 + (dotted[3] == "." and self._joined(at + 3))
        return "", at

    def _keep(self, found: Quantity, after: int, *, scale: float = 1.0) -> int:
        self._scales.append(scale)
        self._quantities.append(found)
        return after

    def _written(self, at: int) -> tuple[float, int, bool]:
        """Value of the numerals from here, the place behind them, and whether they end in an ordinal."""
        value, smallest = 0.0, math.inf
        while True:
            word = self._word(at)
            number = _NUMERALS.get(word, _ORDINALS.get(word))
            if number is None or number >= smallest:
                break
            value += number
            at += 1
            if word in _ORDINALS:
                return value, at, True
            if self._word(at) == "hundred":
                value, at, smallest = value * 100, at + 1, 100
                at += self._word(at) == "and" and self._word(at + 1) in _NUMERALS
            else:
                smallest = 10 if number >= 20 else 0  # noqa: PLR2004 - behind tens come ones
            dashed = self._word(at) in _DASHES and (self._word(at + 1) in _NUMERALS or self._word(at + 1) in _ORDINALS)
            at += dashed and smallest == 10  # noqa: PLR2004 - twenty-one, not one-two
        return value, at, False

    def _scale(self, at: int, *, short: bool) -> tuple[float, int]:
        scale = 1.0
        while self._word(at) in _SCALES:
            scale, at = scale * _SCALES[self._word(at)], at + 1
        if scale == 1 and short and self._word(at) in _SHORT_SCALES and self._joined(at):
            return _SHORT_SCALES[self._word(at)], at + 1
        return scale, at

    def _unit(self, at: int) -> tuple[str, int]:
        """The unit that stands here, and the place behind it; empty and the same place where none does."""
        word = self._word(at)
        if word == "per" and self._word(at + 1) == "cent":
            return "percent", at + 2
        power = _POWERS.get(word, "")
        begin = at + bool(power) + (word in _NAUTICAL)
        name = self._word(begin)
        if name and name[-1] in "²³" and name[:-1] in _UNITS:
            return ("square " if name[-1] == "²" else "cubic ") + _UNITS[name[:-1]], begin + 1
        if name not in _UNITS:
            return "", at
        unit, after = power + (f"{word} " if word in _NAUTICAL else "") + _UNITS[name], begin + 1
        if unit == "degree" and self._word(after) in ("c", "f", "celsius", "fahrenheit"):
            return f"degree {self._word(after)[0]}", after + 1
        return unit, after


def _called(text: str) -> list[personal.Found]:
    """The numbers by which telephones, cards and accounts are called."""
    if sum(map(str.isdecimal, text)) < _LEAST_DIGITS:
        return []
    return [each for each in personal.found(text) if each.kind in _CALLED]


def _roman(word: str) -> int:
    """The value of a Roman number below 40; 0 of what is none."""
    if not 0 < len(word) <= len("xxxviii") or not set(word) <= set(_ROMAN):
        return 0
    values = [_ROMAN[letter] for letter in word]
    value = sum(-one if one < other else one for one, other in itertools.pairwise([*values, 0]))
    return value if _to_roman(value) == word else 0


def _to_roman(value: int) -> str:
    ones = ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
    return "x" * (value // 10) + ones[value % 10]


def _is_day(month: int, day: int) -> bool:
    return 1 <= month <= _MONTHS_OF_YEAR and 1 <= day <= _DAYS_OF_MONTH


def _readings(digits: str) -> tuple[float, ...]:
    """What a numeral may stand for; the likelier first."""
    plain = digits.replace(",", "")
    groups = re.split("[.,]", digits)
    thousands = len(groups) > 1 and len(groups[0]) <= _THREE and all(len(group) == _THREE for group in groups[1:])
    if "," in digits and "." in digits:
        decimal_comma = digits.rindex(",") > digits.rindex(".")
        return _floats(digits.replace(".", "").replace(",", ".") if decimal_comma else plain)
    if "," in digits:
        if thousands:
            return _floats(plain, digits.replace(",", ".")) if len(groups) == 2 else _floats(plain)  # noqa: PLR2004 - 1,200
        return _floats(digits.replace(",", ".", 1).replace(",", ""))
    if "." in digits:
        if len(groups) == 2:  # noqa: PLR2004 - whole and fraction
            return _floats(digits, digits.replace(".", "")) if thousands else _floats(digits)
        return _floats(digits.replace(".", ""))
    return _floats(digits)


def _floats(*texts: str) -> tuple[float, ...]:
    return tuple(dict.fromkeys(float(text) for text in texts))
