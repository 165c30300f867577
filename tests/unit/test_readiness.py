"""A look at all parts, whatever they do."""

from __future__ import annotations

import threading
import time

from app.bootstrap.readiness import Readiness
from app.domain.errors import PartDownError


def down() -> str | None:
    raise PartDownError("it does not answer")


def broken() -> str | None:
    raise ValueError("odd")


def test_each_part_is_told_and_none_holds_up_the_others() -> None:
    goes_on = threading.Event()
    looks: list[int] = []

    def hangs() -> str | None:
        looks.append(1)
        goes_on.wait(30)
        return None

    checks = {"hangs": hangs, "well": lambda: None, "ill": lambda: "full", "down": down, "broken": broken}
    readiness = Readiness(checks, seconds=0.2)
    began = time.monotonic()
    for _ in range(3):
        assert readiness.look() == {
            "hangs": "no answer within 0.2 s",
            "well": None,
            "ill": "full",
            "down": "it does not answer",
            "broken": "ValueError: odd",
        }
    assert time.monotonic() - began < 10
    assert looks == [1], "one look is under way, however often it is asked for"
    goes_on.set()
    deadline = time.monotonic() + 10
    while readiness.look()["hangs"] is not None:
        assert time.monotonic() < deadline
