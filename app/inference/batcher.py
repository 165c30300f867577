"""One queue in front of a model that ingestion and questions share: short batches, questions first.

A batch holds texts of nearly the same length, so that little is computed for padding. It is filled from the call that
waits longest, and only where that call has no more of this length from those behind it: so calls end one after the
other, and who has its vectors can write them while the next is computed. If all were served evenly, they would all be
done at once, and the model would idle while each of them writes and reads (1.4 of 14 s of an ingestion by two workers).
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
import enum
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from app.domain.errors import DeadlineExceededError, FootnoteError, OverloadedError, PartDownError, TransientError
from app.domain.vectors import Matrix

log = logging.getLogger(__name__)


class Kind(enum.StrEnum):
    """Who waits for a vector."""

    QUESTION = "question"  # a person waits
    EVIDENCE = "evidence"  # passages that an answer is made of: a person waits
    PASSAGE = "passage"  # ingestion waits


URGENT = (Kind.QUESTION, Kind.EVIDENCE)  # before all passages, in this order


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One text as the model takes it."""

    text: str
    ids: Sequence[int] = ()  # token ids with the special tokens, cut to the window; empty where the model wants text
    tokens: int  # what it costs to compute, >= 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may wait, for how long, and how long one batch of passages should take."""

    # A question behind a batch of passages waits for at most this; longer batches gain nothing: with 256 tokens each,
    # batches of 1, 4 and 16 gave 25.3, 24.3 and 22 texts/s on two AVX2 cores.
    batch_seconds: float = 0.08
    least_tokens: int = 256  # of one batch, however slow the machine is
    most_tokens: int = 16_384  # of one batch, however fast; bounds a GPU's memory
    waiting_questions: int = 256
    waiting_evidence: int = 2_048
    waiting_passages: int = 8_192
    question_seconds: float = 10.0  # deadline
    passages_seconds: float = 600.0  # deadline of one call; 8,192 waiting texts take 400 s at 20 texts/s


OnBatch = Callable[[Kind, int, int, float], None]  # kind, texts, tokens, seconds
Encode = Callable[[Kind, Sequence[Prepared]], Matrix]


def no_stats(_kind: Kind, _texts: int, _tokens: int, _seconds: float) -> None:
    """Record nothing."""


class _Call:
    """One caller that waits for its vectors."""

    __slots__ = ("arrivals", "done", "error", "missing", "rows", "waiting")

    def __init__(self, texts: Sequence[Prepared], dimensions: int) -> None:
        self.rows: Matrix = np.zeros((len(texts), dimensions), dtype=np.float32)
        self.missing = len(texts)
        self.error: FootnoteError | None = None
        self.done = threading.Event()
        entries = [_Waiting(call=self, row=row, prepared=prepared) for row, prepared in enumerate(texts)]
        self.arrivals = collections.deque(entries)  # as given; the taken ones lag
        self.waiting = sorted(entries, key=_order)

    def fail(self, error: FootnoteError) -> None:
        self.error = self.error or error
        self.done.set()


@dataclasses.dataclass(slots=True, eq=False)
class _Waiting:
    """One text in the queue."""

    call: _Call
    row: int
    prepared: Prepared
    taken: bool = False


def _order(entry: _Waiting) -> tuple[int, int]:
    return entry.prepared.tokens, entry.row


@dataclasses.dataclass(slots=True, kw_only=True)
class _Filling:
    """A batch that is being put together, of texts of about `length` tokens."""

    length: int
    budget: int  # tokens, padding counted
    longest: int = 0  # tokens of the longest text in it
    entries: list[_Waiting] = dataclasses.field(default_factory=list)

    def take(self, waiting: list[_Waiting], first: int, last: int) -> None:
        """Move waiting[first:last] into the batch, and its neighbours, the nearest first, while they fit.

        Args:
            waiting: sorted by tokens.
            first: where texts of `length` begin in it.
            last: the end of those that are taken in any case; `first` for none.
        """
        spread = max(8, self.length // 8)  # tokens; keeps what is computed for padding under an eighth
        self.longest = max(self.longest, waiting[last - 1].prepared.tokens if last > first else 0)
        while True:
            below = self.length - waiting[first - 1].prepared.tokens if first else math.inf
            above = waiting[last].prepared.tokens - self.length if last < len(waiting) else math.inf
            if min(below, above) > spread:
                break
            longest = max(self.longest, waiting[first - 1 if below <= above else last].prepared.tokens)
            if longest * (len(self.entries) + last - first + 1) > self.budget:
                break
            first, last = (first - 1, last) if below <= above else (first, last + 1)
            self.longest = longest
        self.entries += waiting[first:last]
        del waiting[first:last]


class Batcher:
    """Runs `encode` for many callers at once, on threads of its own."""

    def __init__(
        self,
        encode: Encode,
        *,
        dimensions: int,
        lanes: int = 1,
        question_lane: bool = False,
        limits: Limits | None = None,
        on_batch: OnBatch = no_stats,
    ) -> None:
        """Start the threads.

        Args:
            encode: the model; called from `lanes` threads at once, and from one more with a question lane.
            dimensions: length of a vector.
            lanes: how many batches of passages run at once.
            question_lane: whether one more thread serves questions alone, so that they need not wait for a batch of
                passages to end; without it every lane serves both, questions first.
            limits: how much may wait and for how long.
            on_batch: is told of every batch that was computed; must not block.
        """
        self._encode = encode
        self._dimensions = dimensions
        self._limits = limits or Limits()
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._urgent: dict[Kind, collections.deque[_Waiting]] = {kind: collections.deque() for kind in URGENT}
        self._passages: list[_Call] = []  # calls with passages that wait, the oldest first
        self._rate = 0.0  # tokens a second of one lane with passages; 0 before the first batch
        self._closed = False
        passages_too = {Kind.PASSAGE} if question_lane else {*URGENT, Kind.PASSAGE}
        served = [passages_too] * lanes + ([set(URGENT)] if question_lane else [])
        self._threads = [
            threading.Thread(target=self._serve, args=(kinds,), name=f"embedder-{number}", daemon=True)
            for number, kinds in enumerate(served)
        ]
        for thread in self._threads:
            thread.start()

    def waiting(self, kind: Kind) -> int:
        """How many texts of this kind wait, those in a running batch not counted."""
        with self._changed:
            return self._count(kind)

    def run(self, kind: Kind, texts: Sequence[Prepared]) -> Matrix:
        """Vectors in the order given; shape (len(texts), dimensions).

        Raises:
            OverloadedError: as much waits as may.
            DeadlineExceededError: the vectors were not there in time; what had not begun is taken out of the queue.
            TransientError: closed, or the model failed.
        """
        if not texts:
            return np.zeros((0, self._dimensions), dtype=np.float32)
        call = _Call(texts, self._dimensions)
        seconds = self._limits.passages_seconds if kind is Kind.PASSAGE else self._limits.question_seconds
        self._enqueue(kind, call)
        try:
            if not call.done.wait(seconds):
                call.fail(DeadlineExceededError(f"the embedder gave no vectors of {len(texts)} texts in {seconds:g} s"))
        finally:
            if call.missing:  # deadline, failure or an interrupt of this thread: nobody wants the rest any more
                self._withdraw(call)
        if call.error is not None:
            raise call.error
        return call.rows

    def close(self) -> None:
        """Fail what waits, let running batches end, and end the threads. May be called twice."""
        with self._changed:
            self._closed = True
            for call in (*(entry.call for line in self._urgent.values() for entry in line), *self._passages):
                call.fail(TransientError("the embedder is closing"))
            for line in self._urgent.values():
                line.clear()
            self._passages.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _count(self, kind: Kind) -> int:
        return sum(len(call.waiting) for call in self._passages) if kind is Kind.PASSAGE else len(self._urgent[kind])

    def _enqueue(self, kind: Kind, call: _Call) -> None:
        limit = {
            Kind.QUESTION: self._limits.waiting_questions,
            Kind.EVIDENCE: self._limits.waiting_evidence,
            Kind.PASSAGE: self._limits.waiting_passages,
        }[kind]
        with self._changed:
            if self._closed:
                raise TransientError("the embedder is closed")
            waiting = self._count(kind)
            if waiting >= limit:  # one call larger than the limit is still taken when there is room
                raise OverloadedError(
                    f"{waiting} texts wait for the embedder already, the limit is {limit}",
                    retry_after_seconds=self._retry_after_seconds(),
                )
            if kind is Kind.PASSAGE:
                self._passages.append(call)
            else:
                self._urgent[kind].extend(call.waiting)
            self._changed.notify_all()

    def _retry_after_seconds(self) -> int:
        passages = (entry for call in self._passages for entry in call.waiting)
        urgent = (entry for line in self._urgent.values() for entry in line)
        tokens = sum(entry.prepared.tokens for entry in (*urgent, *passages))
        return min(60, max(1, math.ceil(tokens / self._rate / 2))) if self._rate else 1  # when half of it is gone

    def _withdraw(self, call: _Call) -> None:
        with self._changed:
            for kind, line in self._urgent.items():
                self._urgent[kind] = collections.deque(entry for entry in line if entry.call is not call)
            self._passages = [each for each in self._passages if each is not call]
            self._changed.notify_all()

    def _serve(self, kinds: set[Kind]) -> None:
        """One lane: take a batch, compute it, hand out its rows, until closed."""
        while True:
            with self._changed:
                while not (batch := self._next(kinds)):
                    if self._closed:
                        return
                    self._changed.wait()
                kind = batch[0]
                entries = batch[1]
                if kind is not Kind.PASSAGE:
                    self._changed.notify_all()  # passages may go on
            self._compute(kind, entries)

    def _next(self, kinds: set[Kind]) -> tuple[Kind, list[_Waiting]] | None:
        urgent = next((kind for kind in URGENT if self._urgent[kind]), None)
        if urgent is not None:
            if urgent in kinds:
                return urgent, self._take_urgent(self._urgent[urgent])
            return None  # no batch of passages begins while a question waits
        if Kind.PASSAGE in kinds and self._passages:
            return Kind.PASSAGE, self._take_passages()
        return None

    def _budget_tokens(self) -> int:
        """Tokens of a batch, padding counted, that takes about as long as it should."""
        return int(
            min(max(self._rate * self._limits.batch_seconds, self._limits.least_tokens), self._limits.most_tokens)
        )

    def _take_urgent(self, line: collections.deque[_Waiting]) -> list[_Waiting]:
        taken = [line.popleft()]
        longest = taken[0].prepared.tokens
        while line:
            longest = max(longest, line[0].prepared.tokens)
            if longest * (len(taken) + 1) > self._budget_tokens():
                break
            taken.append(line.popleft())
        return taken

    def _take_passages(self) -> list[_Waiting]:
        """The passage that waits longest, and others of nearly its length, first those that came with it."""
        call = self._passages[0]
        while call.arrivals[0].taken:
            call.arrivals.popleft()
        oldest = call.arrivals.popleft()
        batch = _Filling(length=oldest.prepared.tokens, budget=self._budget_tokens())
        at = bisect.bisect_left(call.waiting, _order(oldest), key=_order)
        batch.take(call.waiting, at, at + 1)
        for other in self._passages[1:]:
            at = bisect.bisect_left(other.waiting, (batch.length, 0), key=_order)
            batch.take(other.waiting, at, at)
        for entry in batch.entries:
            entry.taken = True
        for empty in [each for each in self._passages if not each.waiting]:
            empty.arrivals.clear()  # entry and call point at each other
            self._passages.remove(empty)
        return batch.entries

    def _compute(self, kind: Kind, entries: list[_Waiting]) -> None:
        began = time.monotonic()
        try:
            rows = self._encode(kind, [entry.prepared for entry in entries])
        except PartDownError as error:  # a server that does not answer: one text at a time would be no better
            self._settle(entries, error=error)
            return
        except Exception as error:  # noqa: BLE001 - whatever the model raises belongs to the callers that wait
            if len(entries) > 1:  # one bad text harms nobody else
                for entry in entries:
                    self._compute(kind, [entry])
            else:
                self._settle(entries, error=_as_footnote_error(error))
            return
        seconds = time.monotonic() - began
        tokens = sum(entry.prepared.tokens for entry in entries)
        self._settle(entries, rows=rows)
        if kind is Kind.PASSAGE and seconds > 0:
            rate = tokens / seconds
            self._rate = rate if self._rate == 0 else 0.8 * self._rate + 0.2 * rate  # smooths about five batches
        try:
            self._on_batch(kind, len(entries), tokens, seconds)
        except Exception:  # whatever metrics do, the lane goes on
            log.exception("the embedder's statistics hook failed")

    def _settle(
        self, entries: Iterable[_Waiting], *, rows: Matrix | None = None, error: FootnoteError | None = None
    ) -> None:
        with self._changed:
            for position, entry in enumerate(entries):
                call = entry.call
                if rows is None:
                    call.fail(error or TransientError("the model gave nothing"))
                    continue
                call.rows[entry.row] = rows[position]
                call.missing -= 1
                if call.missing == 0:
                    call.done.set()


def _as_footnote_error(error: Exception) -> FootnoteError:
    """The error as callers know it; the vendor's is its cause."""
    if isinstance(error, FootnoteError):
        return error
    wrapped = TransientError(f"the embedder failed: {type(error).__name__}")
    wrapped.__cause__ = error
    return wrapped
