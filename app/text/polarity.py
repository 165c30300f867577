"""What turns a sentence into its opposite: words that deny, words that exclude each other, words of how many."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from app.text import words

_DENIALS_LISTED = (
    "not no never none nobody nothing nowhere neither nor without cannot lack lacked lacks lacking fail failed fails "
    "failing refuse refused refuses unable hardly scarcely barely impossible"
)
_DENIALS = frozenset(_DENIALS_LISTED.split())
# Words that deny each other: on one line those of different sides. Forms are found by their stems.
_GROUPS_LISTED = """
increase increased rise rose risen raise raised grow grew grown growth gain gained / decrease decreased decline declined fall fell fallen drop dropped reduce reduced reduction shrink shrank diminish lose lost loss lower lowered
before prior preceding earlier / after following later
preceded / followed
unless / if
until / since
must / may might
more greater / less fewer lesser smaller
most / least fewest
begin began begun start started / end ended stop stopped finish finished
win won / lose lost
accept accepted approve approved / reject rejected refuse refused
allow allowed permit permitted / prohibit prohibited forbid forbade forbidden ban banned prevent prevented
support supported / oppose opposed
supporter / opponent
create created build built / destroy destroyed demolish demolished
old older oldest / new newer newest young younger youngest
large larger largest big bigger biggest great greatest / small smaller smallest
rich richer wealthy / poor poorer
hot hotter warm warmer / cold colder cool cooler
long longer longest / short shorter shortest
easy easier simple / difficult hard harder complex
common often frequent frequently / rare rarely seldom
voluntary optional / compulsory mandatory
same similar / different
daily / weekly / monthly / yearly annual annually
all every everyone everything / none nobody nothing no
both / neither
many much / few little
friend ally / enemy
single / double / multiple
love / hate
good better best / bad worse worst
light / dark
left / right
first / last / final
early / late
earlier / later
earliest / latest
highest / lowest
high / low
higher / lower
maximum / minimum
longest / shortest
ancient / modern
success / failure
succeed / fail
agree / disagree
include / exclude
included / excluded
including / excluding
import / export
buy / sell
bought / sold
lend / borrow
enter / leave
entered / left
arrive / depart
arrived / departed
open / close
opened / closed
strengthen / weaken
strengthened / weakened
strong / weak
stronger / weaker
public / private
male / female
man / woman
men / women
boy / girl
king / queen
father / mother
son / daughter
brother / sister
husband / wife
north / south / east / west
northern / southern / eastern / western
northwest / southeast
northeast / southwest
upper / lower
top / bottom
above / below
over / under
inside / outside
internal / external
inner / outer
domestic / foreign
positive / negative
best / worst
wet / dry
heavy / light
heavier / lighter
dark / light
fast / slow
faster / slower
always / never
legal / illegal
possible / impossible
true / false
alive / dead
born / died
war / peace
day / night
morning / evening / afternoon
summer / winter / spring / autumn
monday / tuesday / wednesday / thursday / friday / saturday / sunday
black / white / red / green / blue / yellow
majority / minority
mostly / partly
entire / partial
temporary / permanent
direct / indirect
active / passive
liberal / conservative
guilty / innocent
teacher / student
parent / child
buyer / seller
"""
_PREFIXES = ("un", "in", "im", "il", "ir", "non", "dis", "mis")
_LEAST_ROOT = 4  # letters; `inner` is not the opposite of `ner`
_SCOPE = 3  # content words behind a denial that it may deny

_EVERY = "all every each entire whole always everyone everything entirely completely invariably exclusively only solely"
_MOST = "most mostly majority usually generally largely mainly primarily typically"
_SOME = "some several sometimes partly partially occasionally certain many various often"
_FEW = "few rarely seldom hardly little minority"
_QUANTIFIERS = {
    words.stem(word): kind
    for kind, listed in (("every", _EVERY), ("most", _MOST), ("some", _SOME), ("few", _FEW))
    for word in listed.split()
}


@functools.cache
def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for line in _GROUPS_LISTED.strip().split("\n"):
        sides = [{words.stem(word) for word in side.split()} for side in line.split("/")]
        for side in sides:
            others = set().union(*(other for other in sides if other is not side))
            for each in side:
                found.setdefault(each, set()).update(others - side)
    return {each: frozenset(others) for each, others in found.items()}


def opposites(stem: str) -> frozenset[str]:
    """Stems of words that exclude the one of this stem; few words have any."""
    return _opposites().get(stem, frozenset())


@functools.lru_cache(maxsize=20_000)
def negatives(stem: str) -> tuple[str, ...]:
    """Stems that deny this one by a prefix, or that it denies: `unsuccessful` and `successful`."""
    bare = tuple(
        stem[len(prefix) :]
        for prefix in _PREFIXES
        if stem.startswith(prefix) and len(stem) >= len(prefix) + _LEAST_ROOT
    )
    return bare + tuple(prefix + stem for prefix in _PREFIXES) if len(stem) >= _LEAST_ROOT else bare


def quantifier(stem: str) -> str:
    """`every`, `most`, `some` or `few`; empty of any other word."""
    return _QUANTIFIERS.get(stem, "")


def denials(plain: Sequence[str]) -> list[int]:
    """Where words stand that deny, among words in lower case. `not only` does not."""
    return [
        at
        for at, word in enumerate(plain)
        if (word in _DENIALS or word.endswith(("n't", "n’t"))) and "".join(plain[at + 1 : at + 2]) != "only"  # noqa: RUF001 - the mark itself
    ]


def denied(at: int, plain: Sequence[str], stems: Sequence[str]) -> tuple[str, ...]:
    """The stems of the content words that a denial at this place may speak of."""
    said: list[str] = []
    for word, stem in zip(plain[at + 1 : at + 1 + 3 * _SCOPE], stems[at + 1 : at + 1 + 3 * _SCOPE], strict=True):
        if word not in words.STOP_WORDS:
            said.append(stem)
        if len(said) == _SCOPE:
            break
    return tuple(said)
