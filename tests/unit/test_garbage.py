"""The garbage collector between requests. In a process of its own: what it sets is the process's."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.split()


def test_what_is_settled_and_what_stays_is_out_of_sight_and_cycles_go() -> None:
    told = run(
        """
        import gc, weakref
        from app.api.garbage import Garbage, settle

        class Cycle:
            def __init__(self): self.self = self

        settle()
        settled = gc.get_freeze_count()
        garbage = Garbage()
        garbage.collect()
        print(gc.get_freeze_count() == settled)  # nothing was made: nothing is looked for
        gone = weakref.ref(Cycle())
        gc.collect(0)
        kept = [[each] for each in range(200_000)]  # the cycle is old now
        garbage.collect()
        print(gone() is None, gc.get_freeze_count() > settled + 200_000)
        """
    )
    assert told == ["True", "True", "True"]


def test_in_an_hour_what_was_out_of_sight_is_looked_through_too() -> None:
    told = run(
        """
        import gc, weakref
        from app.api import garbage

        class Cycle:
            def __init__(self): self.self = self

        held = Cycle()
        gone = weakref.ref(held)
        garbage.settle()
        del held
        garbage._ALL_SECONDS = 0.0
        tending = garbage.Garbage()
        kept = [[each] for each in range(200_000)]
        print(gone() is None)
        tending.collect()
        print(gone() is None)
        """
    )
    assert told == ["False", "True"]


def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    told = run(
        """
        import ctypes, pathlib, sys
        from app.api import garbage

        can = sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim")

        def pages() -> int:
            return int(pathlib.Path("/proc/self/statm").read_text().split()[1])

        kept = [bytes(4000) for _ in range(50_000)]
        last = [bytes(4000) for _ in range(10)]  # at the end of the heap, so that what stands before it can't just be cut off
        del kept
        before = pages() if can else 0
        garbage.started()
        print(not can or pages() < before / 2)
        """
    )
    assert told == ["True"]
