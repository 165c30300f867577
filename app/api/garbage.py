"""Python's garbage collector, which stops every thread while it looks: little while requests run, the rest while none does."""

from __future__ import annotations

import ctypes
import gc
import sys
import time

_SWITCH_SECONDS = 0.001  # after which a thread that computes lets the event loop go on; Python's own is five times that
_YOUNG = (
    2_000  # objects made and not yet gone, after which it looks through these: some ms; a search makes some thousands
)
_MIDDLE = 4  # such looks, after which it looks through what they left
_OLD = 1_000  # of those, after which it looks through everything though requests run
_WORTH = 2  # looks at what was left since the last one at everything: little by little, some 20 ms each
_ALL_SECONDS = 3600.0  # after which what was put out of sight is looked through too


class Garbage:
    """Looks through everything while no request runs. For the thread of the event loop alone."""

    def __init__(self) -> None:
        self._looks = _looks()
        self._all_at = time.monotonic() + _ALL_SECONDS

    def collect(self) -> None:
        """Look through what was made since the last time, if it is much, and take what stays out of sight."""
        if _looks() - self._looks < _WORTH:
            return
        if time.monotonic() > self._all_at:
            gc.unfreeze()
            self._all_at = time.monotonic() + _ALL_SECONDS
        gc.collect()
        gc.freeze()
        self._looks = _looks()


def settle() -> None:
    """Let threads take turns soon, and take what lives as long as the process out of the collector's sight.

    Looking through it all, 100,000 objects, takes 50 ms with Python's lock held.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
    gc.enable()


def started() -> None:
    """All is there that stays: take it out of sight, and give what was freed back to the system, where the C library can.

    That is some 10 MB, in 4 ms.
    """
    gc.freeze()
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if give_back is not None:
        give_back(0)


def _looks() -> int:
    """At the middle generation, since the process began."""
    return int(gc.get_stats()[1]["collections"])
