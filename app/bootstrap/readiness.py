"""Whether each part is well, told in bounded time, whatever the parts do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from app.domain.errors import FootnoteError

Check = Callable[[], str | None]  # what is wrong with a part; None where it is well


class Readiness:
    """Looks at all parts at once; one that does not answer has one look under way, however often it is asked for."""

    def __init__(self, checks: Mapping[str, Check], *, seconds: float) -> None:
        """Take a check of each part, and the longest that a look may take."""
        self._looks = {part: _Look(part, check) for part, check in checks.items()}
        self._seconds = seconds

    def look(self) -> dict[str, str | None]:
        """By part: None if it is well, else what is wrong with it."""
        deadline = time.monotonic() + self._seconds
        under_way = {part: look.begun() for part, look in self._looks.items()}
        return {part: self._told(one, deadline) for part, one in under_way.items()}

    def _told(self, look: _Running, deadline: float) -> str | None:
        if not look.ended.wait(max(0.0, deadline - time.monotonic())):
            return f"no answer within {self._seconds:g} s"
        return look.trouble


class _Running:
    def __init__(self) -> None:
        self.ended = threading.Event()
        self.trouble: str | None = None


class _Look:
    def __init__(self, part: str, check: Check) -> None:
        self._part = part
        self._check = check
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def begun(self) -> _Running:
        """The look that is under way, or a new one."""
        with self._lock:
            if self._running is None:
                self._running = _Running()
                threading.Thread(
                    target=self._run, args=(self._running,), name=f"ready-{self._part}", daemon=True
                ).start()
            return self._running

    def _run(self, running: _Running) -> None:
        try:
            running.trouble = self._check()
        except FootnoteError as error:
            running.trouble = error.message
        except Exception as error:  # noqa: BLE001 - a look that fails is what is wrong with the part
            running.trouble = f"{type(error).__name__}: {error}"[:300]
        finally:
            with self._lock:
                self._running = None
            running.ended.set()
