"""Structured logs on stderr: one JSON object a line, or text for people. Never a document's text, a query or a key."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from app.settings import Settings


def configure(settings: Settings) -> None:
    """Set the process's logs up, those of libraries too."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _rendering(settings.log_format)
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING) if level > logging.DEBUG else level)  # libraries: only what matters


def _rendering(form: Literal["auto", "json", "text"]) -> list[structlog.typing.Processor]:
    if form == "text" or (form == "auto" and sys.stderr.isatty()):
        return [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # the pretty ones show variables: texts, keys
            )
        ]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
