from __future__ import annotations

import threading

import pytest

from app.answering.turns import Turns


def wait_until_waiting(turns: Turns, count: int) -> None:
    while turns.waiting < count:
        threading.Event().wait(0.001)


def test_no_more_than_the_places_are_taken_and_in_the_order_of_asking() -> None:
    turns = Turns(2)
    order: list[int] = []
    at_once: list[int] = []
    inside = 0
    guard = threading.Lock()

    def work(number: int) -> None:
        nonlocal inside
        with turns.taken():
            with guard:
                inside += 1
                at_once.append(inside)
                order.append(number)
            threading.Event().wait(0.002)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    with turns.taken():  # one place is left, so the six go one by one
        with turns.taken():
            for count, thread in enumerate(threads, start=1):
                thread.start()
                wait_until_waiting(turns, count)
        threads[-1].join()
        assert order == [0, 1, 2, 3, 4, 5]
        assert max(at_once) == 1
    for thread in threads:
        thread.join()

    more = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in more:
        thread.start()
    for thread in more:
        thread.join()
    assert max(at_once) <= 2
    assert turns.waiting == 0


def test_an_error_gives_the_place_back() -> None:
    turns = Turns(1)

    with pytest.raises(ValueError, match="broken"), turns.taken():
        raise ValueError("broken")

    with turns.taken():
        assert turns.waiting == 0
