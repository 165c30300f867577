"""The batcher, over a model that waits at a gate: who goes first, who shares a batch, who is told what."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest

from app.domain.errors import ConfigurationError, DeadlineExceededError, OverloadedError, TransientError
from app.domain.vectors import Matrix
from app.inference.batcher import Batcher, Kind, Limits, Prepared


class GatedModel:
    """Gives each text its number of tokens as vector; computes nothing before the gate opens."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)  # one release for each batch that began
        self.batches: list[tuple[Kind, list[str]]] = []
        self.lock = threading.Lock()

    def encode(self, kind: Kind, batch: Sequence[Prepared]) -> Matrix:
        with self.lock:
            self.batches.append((kind, [one.text for one in batch]))
        self.entered.release()
        if kind is Kind.PASSAGE:
            assert self.gate.wait(30)
        if any(one.text == "poison" for one in batch):
            raise ValueError("a text that the model can't take")
        if any(one.text == "misset" for one in batch):
            raise ConfigurationError("a sentence for a person")
        return np.array([[one.tokens, 0.0] for one in batch], dtype=np.float32)


def texts(*lengths: int) -> list[Prepared]:
    return [Prepared(text=f"{length} tokens", tokens=length) for length in lengths]


def one(text: str) -> list[Prepared]:
    return [Prepared(text=text, tokens=10)]


class Caller(threading.Thread):
    """A call in a thread of its own, and what came of it."""

    def __init__(self, call: Callable[[], Matrix]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.rows: Matrix | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.rows = self.call()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def finish(self) -> Caller:
        self.join(30)
        assert not self.is_alive()
        return self


def until_waiting(batcher: Batcher, kind: Kind, number: int) -> None:
    pause = threading.Event()
    for _ in range(3_000):
        if batcher.waiting(kind) == number:
            return
        pause.wait(0.01)
    raise AssertionError(f"never {number} waiting")


@pytest.fixture
def model() -> Iterator[GatedModel]:
    gated = GatedModel()
    yield gated
    gated.gate.set()


def busy(batcher: Batcher, model: GatedModel) -> Caller:
    """A batch that stands at the gate."""
    caller = Caller(lambda: batcher.run(Kind.PASSAGE, one("first")))
    assert model.entered.acquire(timeout=30)
    return caller


def test_a_question_overtakes_every_waiting_passage(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2)
    first = busy(batcher, model)
    passages = Caller(lambda: batcher.run(Kind.PASSAGE, texts(*[250] * 5)))
    until_waiting(batcher, Kind.PASSAGE, 5)
    question = Caller(lambda: batcher.run(Kind.QUESTION, one("why?")))
    until_waiting(batcher, Kind.QUESTION, 1)

    model.gate.set()
    for caller in (first, passages, question):
        assert caller.finish().error is None
    batcher.close()

    assert [kind for kind, _ in model.batches][:3] == [Kind.PASSAGE, Kind.QUESTION, Kind.PASSAGE]


def test_evidence_goes_behind_questions_and_before_passages(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2)
    first = busy(batcher, model)
    waiting = []
    for kind, number in ((Kind.PASSAGE, 5), (Kind.EVIDENCE, 1), (Kind.QUESTION, 1)):
        waiting.append(Caller(functools.partial(batcher.run, kind, texts(*[250] * number))))
        until_waiting(batcher, kind, number)

    model.gate.set()
    for caller in (first, *waiting):
        assert caller.finish().error is None
    batcher.close()

    assert [kind for kind, _ in model.batches][:4] == [Kind.PASSAGE, Kind.QUESTION, Kind.EVIDENCE, Kind.PASSAGE]


def test_with_a_lane_of_its_own_a_question_does_not_wait_for_a_running_batch(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2, question_lane=True)
    first = busy(batcher, model)

    rows = batcher.run(Kind.QUESTION, texts(7))

    assert rows.tolist() == [[7, 0]]
    assert first.is_alive()
    model.gate.set()
    first.finish()
    batcher.close()


def test_rows_come_in_the_order_of_their_texts_whatever_the_batches(model: GatedModel) -> None:
    model.gate.set()
    batcher = Batcher(model.encode, dimensions=2, lanes=2)
    lengths = [7, 250, 3, 120, 8, 249, 60, 61, 2, 5] * 20

    rows = batcher.run(Kind.PASSAGE, texts(*lengths))
    batcher.close()

    assert rows[:, 0].tolist() == lengths


def test_texts_of_several_callers_share_a_batch_with_others_of_their_length(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2, limits=Limits(least_tokens=256, batch_seconds=0.0))
    first = busy(batcher, model)
    callers = []
    for number in range(4):
        callers.append(Caller(lambda: batcher.run(Kind.PASSAGE, texts(20, 200))))
        until_waiting(batcher, Kind.PASSAGE, 2 * (number + 1))

    model.gate.set()
    for caller in (first, *callers):
        assert caller.finish().error is None
    batcher.close()

    assert sorted(batch for _, batch in model.batches[1:]) == sorted([["20 tokens"] * 4, *[["200 tokens"]] * 4])


def test_calls_of_many_texts_end_one_after_the_other(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2, limits=Limits(least_tokens=292, batch_seconds=0.0))
    first = busy(batcher, model)
    callers = []
    for name, least in (("a", 100), ("b", 101)):  # the nearest of each length belongs to the other call
        named = [Prepared(text=name, tokens=least + 5 * number) for number in range(10)]
        callers.append(Caller(functools.partial(batcher.run, Kind.PASSAGE, named)))
        until_waiting(batcher, Kind.PASSAGE, 10 * len(callers))

    model.gate.set()
    for caller in (first, *callers):
        assert caller.finish().error is None
    batcher.close()

    order = [name for _, batch in model.batches[1:] for name in batch]
    assert order == ["a"] * 10 + ["b"] * 10


def test_the_passage_that_waits_longest_is_in_the_next_batch(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2, limits=Limits(least_tokens=256, batch_seconds=0.0))
    first = busy(batcher, model)
    lengths = [100, 30, 250, 31, 99]
    late = Caller(lambda: batcher.run(Kind.PASSAGE, texts(*lengths)))
    until_waiting(batcher, Kind.PASSAGE, 5)

    model.gate.set()
    first.finish()
    late.finish()
    batcher.close()

    named = [[int(text.split()[0]) for text in batch] for _, batch in model.batches[1:]]
    assert named == [[99, 100], [30, 31], [250]]


def test_a_batch_holds_no_more_tokens_than_it_may(model: GatedModel) -> None:
    model.gate.set()
    batcher = Batcher(model.encode, dimensions=2, limits=Limits(least_tokens=256, batch_seconds=0.0))

    batcher.run(Kind.PASSAGE, texts(*range(1, 255)))
    batcher.close()

    padded = [len(batch) * max(int(text.split()[0]) for text in batch) for _, batch in model.batches]
    assert max(padded) <= 256
    assert sum(padded) < 1.15 * sum(range(1, 255))


def test_a_call_past_its_deadline_fails_and_leaves_nothing_in_the_queue(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2, limits=Limits(passages_seconds=0.05))
    running = busy(batcher, model)

    with pytest.raises(DeadlineExceededError, match=r"2 texts in 0\.05 s"):
        batcher.run(Kind.PASSAGE, texts(5, 6))

    assert batcher.waiting(Kind.PASSAGE) == 0
    assert isinstance(running.finish().error, DeadlineExceededError)
    model.gate.set()
    assert batcher.run(Kind.QUESTION, texts(4)).tolist() == [[4, 0]]
    batcher.close()


def test_a_full_queue_refuses_and_says_when_to_come_back(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2, limits=Limits(waiting_passages=3))
    first = busy(batcher, model)
    large = Caller(lambda: batcher.run(Kind.PASSAGE, texts(*[250] * 5)))  # taken whole: there was room
    until_waiting(batcher, Kind.PASSAGE, 5)

    with pytest.raises(OverloadedError, match=r"5 texts wait.* the limit is 3") as refused:
        batcher.run(Kind.PASSAGE, texts(1))

    assert refused.value.retry_after_seconds >= 1
    model.gate.set()
    assert first.finish().error is None
    assert large.finish().error is None
    batcher.close()


def test_close_fails_what_waits_and_lets_what_runs_end(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2)
    first = busy(batcher, model)
    waiting = Caller(lambda: batcher.run(Kind.PASSAGE, texts(*[250] * 3)))
    until_waiting(batcher, Kind.PASSAGE, 3)

    closing = threading.Thread(target=batcher.close)
    closing.start()
    assert isinstance(waiting.finish().error, TransientError)
    model.gate.set()
    closing.join(30)

    assert first.finish().rows is not None
    with pytest.raises(TransientError, match="closed"):
        batcher.run(Kind.QUESTION, texts(1))


def test_a_text_that_the_model_cannot_take_fails_alone(model: GatedModel) -> None:
    batcher = Batcher(model.encode, dimensions=2)
    first = busy(batcher, model)
    bad = Caller(lambda: batcher.run(Kind.PASSAGE, one("poison")))
    until_waiting(batcher, Kind.PASSAGE, 1)
    good = Caller(lambda: batcher.run(Kind.PASSAGE, one("sound")))
    until_waiting(batcher, Kind.PASSAGE, 2)

    model.gate.set()
    bad.finish()
    good.finish()
    first.finish()
    batcher.close()

    assert (Kind.PASSAGE, ["poison", "sound"]) in model.batches
    assert good.rows is not None
    assert isinstance(bad.error, TransientError)
    assert isinstance(bad.error.__cause__, ValueError)
    assert "can't take" not in str(bad.error)  # a vendor's words may hold a document's


def test_an_error_of_our_own_keeps_its_class_and_sentence(model: GatedModel) -> None:
    model.gate.set()
    batcher = Batcher(model.encode, dimensions=2)

    with pytest.raises(ConfigurationError, match="a sentence for a person"):
        batcher.run(Kind.PASSAGE, one("misset"))
    batcher.close()


def test_every_batch_is_reported() -> None:
    model = GatedModel()
    model.gate.set()
    seen: list[tuple[Kind, int, int]] = []
    batcher = Batcher(
        model.encode, dimensions=2, on_batch=lambda kind, number, tokens, _seconds: seen.append((kind, number, tokens))
    )

    batcher.run(Kind.PASSAGE, texts(10, 12))
    batcher.run(Kind.QUESTION, texts(5))
    batcher.close()

    assert seen == [(Kind.PASSAGE, 2, 22), (Kind.QUESTION, 1, 5)]
