"""The end of a process that does not end by itself."""

from __future__ import annotations

import os
import threading

import structlog

_SECONDS = 3.0  # after the grace of a stop


def arm(grace_seconds: float) -> None:
    """End this process some time after the grace of its stop, whatever still waits in it.

    What was acknowledged is durable, as after any kill; leases of what was in hand lapse.
    """
    timer = threading.Timer(grace_seconds + _SECONDS, _end)
    timer.daemon = True
    timer.start()


def _end() -> None:
    structlog.get_logger("footnote").warning("stop_forced", detail="something did not end in time; its leases lapse")
    os._exit(1)
