"""SIGHUP reads the file of models anew."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

import structlog

from app.bootstrap.models import CataloguedModels
from app.domain.errors import FootnoteError

log = structlog.get_logger("footnote.api")
_running: set[asyncio.Task[None]] = set()


def on_hangup(models: CataloguedModels) -> None:
    """Take the signal, on the running loop. Not at a terminal, whose closing sends it too and means the end."""
    if threading.current_thread() is not threading.main_thread() or (sys.stdin is not None and sys.stdin.isatty()):
        return
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _begin, models)


async def reload(models: CataloguedModels) -> None:
    """Read it anew; what is wrong with it is logged, and what was in force stays so."""
    try:
        done = await models.reload()
    except FootnoteError as error:
        log.error("models_not_reloaded", code=error.code, detail=error.message)  # noqa: TRY400 - the sentence says all
    else:
        log.info("models_reloaded", added=done.added, removed=done.removed, changed=done.changed)


def _begin(models: CataloguedModels) -> None:
    task = asyncio.get_running_loop().create_task(reload(models))
    _running.add(task)
    task.add_done_callback(_running.discard)
