from __future__ import annotations

import threading

import pytest

from app.db.fair_lock import FairLock
from app.domain.errors import TransientError


def wait_until_waiting(lock: FairLock, count: int) -> None:
    while len(lock._waiting) < count:
        threading.Event().wait(0.001)


def test_the_lock_goes_to_who_asked_first() -> None:
    lock = FairLock(timeout_seconds=10)
    order: list[int] = []

    def take(number: int) -> None:
        with lock.held():
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(5)]
    with lock.held():
        for count, thread in enumerate(threads, start=1):
            thread.start()
            wait_until_waiting(lock, count)
    for thread in threads:
        thread.join()

    assert order == [0, 1, 2, 3, 4]


def test_who_gave_up_is_passed_over() -> None:
    lock = FairLock(timeout_seconds=0.01)

    with lock.held(), pytest.raises(TransientError, match=r"0\.01 s"), lock.held():
        pass

    with lock.held():
        assert not lock._waiting


def test_an_error_inside_gives_the_lock_back() -> None:
    lock = FairLock(timeout_seconds=0.01)

    with pytest.raises(KeyError), lock.held():
        raise KeyError

    with lock.held():
        pass


def test_a_turn_that_comes_while_giving_up_goes_to_the_next() -> None:
    lock = FairLock(timeout_seconds=10)
    late, next_one = threading.Event(), threading.Event()
    lock._taken = True
    lock._waiting.extend([late, next_one])

    lock._release()
    lock._leave(late)

    assert next_one.is_set()
