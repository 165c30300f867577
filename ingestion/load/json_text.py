"""JSON: each value is a line `key: value` in the order written; a record is a paragraph. Also one record a line."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

from app.domain.errors import DocumentError
from app.domain.passages import BlockKind, Loaded
from ingestion.load.assembly import Assembly, Limits
from ingestion.load.plain_text import canonical_text
from ingestion.load.registry import Format

_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)  # numbers stay as they are written
_SHOWN_KEYS = 6  # the innermost ones; a deep path would be repeated on every line


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read JSON. Raises DocumentError: `malformed`, `no_text`, `too_long`."""
    text = canonical_text(path, limits=limits)
    assembly = Assembly(limits)
    for record in _records(text.strip()):
        lines: list[str] = []
        for line in _lines(record):
            if line is None:
                assembly.add(BlockKind.PARAGRAPH, "\n".join(lines))
                lines = []
            else:
                lines.append(line)
        assembly.add(BlockKind.PARAGRAPH, "\n".join(lines))
    return assembly.loaded(title=None, media_type=Format.JSON.media_type)


def _records(text: str) -> Iterator[Any]:
    """The elements of a list, the lines of a file with a record a line, or the one value that there is."""
    try:
        value, end = _DECODER.raw_decode(text)
        if end == len(text):
            yield from value if isinstance(value, list) else [value]
            return
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield _record(line.strip(), number)
    except RecursionError as error:
        raise DocumentError("the JSON is nested too deeply to be read", code="malformed") from error
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"the file is no valid JSON: {error.msg} in line {error.lineno}, column {error.colno}", code="malformed"
        ) from error


def _record(line: str, number: int) -> Any:
    try:
        return _DECODER.decode(line)
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"the file is no valid JSON: {error.msg} in line {number}, column {error.colno}", code="malformed"
        ) from error


def _lines(record: Any) -> Iterator[str | None]:
    """The lines of a record in order; None between the records of a list inside it."""
    stack: list[Iterator[tuple[tuple[str, ...], Any]]] = [iter([((), record)])]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        keys, value = step
        if isinstance(value, dict):
            stack.append(_entries(keys, value))
        elif isinstance(value, list) and any(isinstance(entry, (dict, list)) for entry in value):
            stack.append((keys, entry) for entry in value)
            yield None
        else:
            entries = value if isinstance(value, list) else [value]
            text = ", ".join(said for said in map(_scalar, entries) if said)
            if text:
                yield f"{'.'.join(keys[-_SHOWN_KEYS:])}: {text}" if keys else text


def _entries(keys: tuple[str, ...], value: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    return (((*keys, " ".join(key.split())), entry) for key, entry in value.items())


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip()
