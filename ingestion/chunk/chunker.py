"""Cuts a document into the passages that are embedded, searched and cited."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from app.domain.passages import BlockKind, Loaded
from app.domain.ports import Tokenizer
from app.text import graphemes
from ingestion.chunk import passage, units

_MARKS = re.compile(r"^#{1,6} |(?: #+| [=-])$")
_VERSION = "structure-1"  # changes whenever the same document would be cut or embedded otherwise
_SETTINGS = ("window", "target", "prefix", "solid", "tiny")  # as the fingerprint names them
_LEAST_WINDOW = 16  # tokens; below, no prefix and no sentence has room
_CHARS_PER_TOKEN = 32  # the most that a chunk is allowed; English has 4.5, a line of dot leaders 15
_HEADING_CHARS = 200  # code points kept of a heading, and of the header row of a table
_HEADING_DEPTH = 8  # innermost headings kept


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One chunk to be: characters [start, end) of the canonical text."""

    start: int  # code points, inclusive
    end: int  # code points, exclusive
    page: int | None  # 1-based; None for formats without pages
    headings: tuple[str, ...]  # outermost first; for the later parts of a table, its header row comes last
    tokens: int  # the most that its text has as it is embedded, without title and headings


@dataclasses.dataclass(slots=True, kw_only=True)
class _Atom:
    """What goes into one chunk whole: a block, or a run of the parts of one that is too long."""

    start: int
    end: int
    tokens: int
    page: int | None
    headings: tuple[str, ...]
    opens: bool = False  # begins with a heading
    parts: int = 1  # how many counts were added up
    exact: bool = True  # False where they may not add up
    share: int = 0  # tokens of the largest atom in it, whose headings it has


@dataclasses.dataclass(frozen=True, slots=True)
class Chunker:
    """Packs blocks into chunks that fit the embedder's window with room for title and headings.

    Every visible character of a block is in exactly one chunk. A chunk stays on one page. A block that fits the window
    is never divided; one that does not is divided at its rows, paragraphs, sentences, lines or words, the first of
    these that serves. A heading goes with what follows it.
    """

    tokenizer: Tokenizer
    _: dataclasses.KW_ONLY
    target_tokens: int | None = None  # most tokens of what is packed together; None: the window less the prefix
    prefix_tokens: int | None = None  # most tokens of title and headings; None: a quarter of the window
    solid_tokens: int | None = None  # two blocks of this size each stay apart; None: a quarter of the window
    tiny_tokens: int | None = None  # a chunk below this joins a neighbour; None: a tenth of the window

    def __post_init__(self) -> None:
        window = self.tokenizer.window_tokens
        if window < _LEAST_WINDOW:
            raise ValueError(f"the embedder's window is {window} tokens, the chunker needs {_LEAST_WINDOW}")
        if not 0 < self.target <= window:
            raise ValueError(f"target_tokens is {self.target}, the embedder's window is {window}")

    @property
    def prefix(self) -> int:
        """The most tokens that title and headings take."""
        return self.tokenizer.window_tokens // 4 if self.prefix_tokens is None else self.prefix_tokens

    @property
    def target(self) -> int:
        """The most tokens of what is packed together."""
        return self.tokenizer.window_tokens - self.prefix if self.target_tokens is None else self.target_tokens

    @property
    def solid(self) -> int:
        """The tokens from which on a block may stand for itself."""
        return self.tokenizer.window_tokens // 4 if self.solid_tokens is None else self.solid_tokens

    @property
    def tiny(self) -> int:
        """The tokens below which a chunk looks for a neighbour."""
        return self.tokenizer.window_tokens // 10 if self.tiny_tokens is None else self.tiny_tokens

    @property
    def fingerprint(self) -> str:
        """Names the method and what it was set to; the tokenizer is named by the embedder's fingerprint."""
        window = self.tokenizer.window_tokens
        return (
            f"{_VERSION}/window={window}/target={self.target}/prefix={self.prefix}/solid={self.solid}/tiny={self.tiny}"
        )

    @classmethod
    def restored(cls, tokenizer: Tokenizer, fingerprint: str) -> Chunker | None:
        """The chunker of a fingerprint; None where it was of another method or another window than this tokenizer's."""
        method, _, rest = fingerprint.partition("/")
        settings = dict(part.split("=", 1) for part in rest.split("/") if "=" in part)
        if method != _VERSION or not all(settings.get(name, "").isdecimal() for name in _SETTINGS):
            return None
        window, target, prefix, solid, tiny = (int(settings[name]) for name in _SETTINGS)
        if window != tokenizer.window_tokens:
            return None
        return cls(tokenizer, target_tokens=target, prefix_tokens=prefix, solid_tokens=solid, tiny_tokens=tiny)

    def cut(self, loaded: Loaded) -> list[Piece]:
        """The chunks of a document, in order and without overlap.

        Takes time and memory linear in the text, and a number of calls of the tokenizer that grows with the text's
        size only by one in `passage.BATCH_CHARS`.
        """
        text = loaded.text
        found = units.segments(loaded.blocks, loaded.pages, text)
        units.measure(text, found, tokenizer=self.tokenizer, most_chars=self._most_chars)
        chunks: list[_Atom] = []
        for section in self._sections(self._atoms(text, found)):
            chunks.extend(self._packed(section, apart=self.solid))
        chunks = self._verified(text, self._without_tiny(chunks))
        return [
            Piece(start=a.start, end=a.end, page=a.page, headings=a.headings, tokens=a.tokens + a.parts - 1)
            for a in chunks
        ]

    def passages(
        self, title: str | None, chunks: Sequence[tuple[Sequence[str], str]], tokens: Sequence[int | None] = ()
    ) -> list[str]:
        """What is embedded of chunks of one document; never beyond the window.

        Args:
            title: of the document.
            chunks: headings and text of each.
            tokens: of each piece as `cut` gave it, None where that is no longer known; saves counting again.
        """
        return passage.compose(self.tokenizer, title, chunks, prefix_tokens=self.prefix, tokens=tokens)

    @property
    def _most_chars(self) -> int:
        return _CHARS_PER_TOKEN * self.tokenizer.window_tokens

    def _atoms(self, text: str, found: Iterable[units.Segment]) -> Iterator[_Atom]:
        """Blocks and runs of parts, each with its headings; a heading joined to what follows where both fit."""
        path: list[tuple[int, str]] = []  # level and text of the headings in force
        held: _Atom | None = None  # headings that wait for what follows
        for segment in found:
            if segment.block.kind is BlockKind.HEADING:
                _descend(path, segment.block.level, _heading(text, segment.start, segment.end))
            headings = tuple(line for _, line in path[-_HEADING_DEPTH:])
            atoms = self._of_segment(text, segment, headings)
            if held is not None and held.page == atoms[0].page and self._joinable(held, atoms[0]):
                atoms[0] = dataclasses.replace(_joined(held, atoms[0]), headings=atoms[0].headings)
            elif held is not None:
                yield held
            held = None
            if segment.block.kind is BlockKind.HEADING and len(atoms) == 1 and atoms[0].tokens < self.solid:
                held = atoms[0]
                held.opens = True
            else:
                yield from atoms
        if held is not None:
            yield held

    def _joinable(self, held: _Atom, atom: _Atom) -> bool:
        room = self.tokenizer.window_tokens
        return held.tokens + atom.tokens <= room and atom.end - held.start <= self._most_chars

    def _of_segment(self, text: str, segment: units.Segment, headings: tuple[str, ...]) -> list[_Atom]:
        """A segment as one atom, or as runs of its parts, evenly filled."""
        parts = [
            _Atom(start=u.start, end=u.end, tokens=u.tokens, page=segment.page, headings=headings, exact=u.exact)
            for u in segment.units
        ]
        if len(parts) == 1:
            return parts
        header_end = segment.block.header_end
        header = _line(text, segment.block.start, header_end) if header_end else ""
        runs = self._packed(parts, apart=None)
        for run in runs:
            if header and header_end and run.start >= header_end:
                run.headings = (*headings, header)
        return runs

    def _sections(self, atoms: Iterable[_Atom]) -> Iterator[list[_Atom]]:
        """Atoms that may be packed together: of one page, and up to a heading once there is enough before it."""
        section: list[_Atom] = []
        tokens = 0
        for atom in atoms:
            if section and (atom.page != section[-1].page or (atom.opens and tokens >= self.tiny)):
                yield section
                section, tokens = [], 0
            section.append(atom)
            tokens += atom.tokens
        if section:
            yield section

    def _packed(self, atoms: Sequence[_Atom], *, apart: int | None) -> list[_Atom]:
        """Neighbours joined up to the target, filled evenly, so that no small rest is left at the end.

        Args:
            atoms: of one page.
            apart: two atoms of at least so many tokens each are not joined; None: any two may be.
        """
        packed: list[_Atom] = []
        left = sum(atom.tokens for atom in atoms)
        goal = 0.0
        for atom in atoms:
            last = packed[-1] if packed else None
            if last is not None and self._belongs(last, atom, goal=goal, apart=apart):
                packed[-1] = _joined(last, atom)
            else:
                goal = left / max(1, math.ceil(left / self.target))
                packed.append(atom)
            left -= atom.tokens
        return packed

    def _belongs(self, last: _Atom, atom: _Atom, *, goal: float, apart: int | None) -> bool:
        """Whether an atom goes into the chunk before it."""
        both = last.tokens + atom.tokens
        if both > self.target or atom.end - last.start > self._most_chars:
            return False
        if apart is not None and last.tokens >= apart and atom.tokens >= apart:
            return False
        return both - goal <= goal - last.tokens

    def _without_tiny(self, chunks: Iterable[_Atom]) -> list[_Atom]:
        """Chunks too small to be found joined to a neighbour on their page, the one before where both fit."""
        kept: list[_Atom] = []
        for chunk in chunks:
            last = kept[-1] if kept else None
            small = last is not None and min(last.tokens, chunk.tokens) < self.tiny
            if last is not None and small and last.page == chunk.page and self._joinable(last, chunk):
                kept[-1] = _joined(last, chunk)
            else:
                kept.append(chunk)
        return kept

    def _verified(self, text: str, chunks: list[_Atom]) -> list[_Atom]:
        """The chunks, those halved that turn out to exceed the window when counted as a whole.

        Counts of parts need not add up exactly in every vocabulary; where the sum is far enough from the window, or
        was counted as a whole, there is nothing to look at.
        """
        window = self.tokenizer.window_tokens
        doubtful = [c for c in chunks if not c.exact or (c.parts > 1 and c.tokens + c.parts > window)]
        while doubtful:
            plain = [passage.plain(text[chunk.start : chunk.end]) for chunk in doubtful]
            over: dict[int, list[_Atom]] = {}
            for chunk, tokens in zip(doubtful, passage.counts(self.tokenizer, plain), strict=True):
                chunk.tokens, chunk.parts = tokens, 1
                spans = units.halves(text, chunk.start, chunk.end) if tokens > window else []
                if len(spans) > 1:
                    over[chunk.start] = [dataclasses.replace(chunk, start=low, end=high) for low, high in spans]
            chunks = [half for chunk in chunks for half in over.get(chunk.start, [chunk])]
            doubtful = [half for pair in over.values() for half in pair]
        return chunks


def _joined(first: _Atom, second: _Atom) -> _Atom:
    """Two neighbours as one, under the headings of the larger."""
    larger = max(first, second, key=lambda atom: atom.share or atom.tokens)
    return _Atom(
        start=first.start,
        end=second.end,
        tokens=first.tokens + second.tokens,
        page=first.page,
        headings=larger.headings,
        opens=first.opens,
        parts=first.parts + second.parts,
        exact=first.exact and second.exact,
        share=larger.share or larger.tokens,
    )


def _descend(path: list[tuple[int, str]], level: int, line: str) -> None:
    """Bring the path of headings up to date with a new one."""
    while path and path[-1][0] >= level:
        path.pop()
    path.append((level, line))


def _heading(text: str, start: int, end: int) -> str:
    """A heading's words, without the marks that Markdown writes it with."""
    return _MARKS.sub("", _line(text, start, end))


def _line(text: str, start: int, end: int) -> str:
    """A stretch of text as one short line."""
    end = graphemes.floor(text, min(end, start + 4 * _HEADING_CHARS), known=start)
    line = " ".join(passage.plain(text[start:end]).split())
    return line[: graphemes.floor(line, _HEADING_CHARS)].rstrip() if len(line) > _HEADING_CHARS else line
