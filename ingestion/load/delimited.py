"""Comma-, semicolon-, tab- and pipe-separated values: one table, a row a line."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Iterator
from typing import Literal

from app.domain.passages import Loaded
from ingestion.load.assembly import Assembly, Limits
from ingestion.load.plain_text import canonical_text
from ingestion.load.registry import Format

_DELIMITERS = (",", "\t", ";", "|")  # on a tie the first
_SAMPLE_ROWS = 100
_SAMPLE_CHARS = 64 << 10
_MAX_LINES = 200  # in one field; more, and a quotation mark was never closed


def load(path: pathlib.Path, *, limits: Limits) -> Loaded:
    """Read separated values. Raises DocumentError: `no_text`, `too_long`."""
    text = canonical_text(path, limits=limits)
    csv.field_size_limit(max(limits.max_text_chars, 131_072))
    delimiter = _delimiter(text[:_SAMPLE_CHARS])
    assembly = Assembly(limits)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
    if any(field.count("\n") > _MAX_LINES for row in _rows(text, delimiter, quoting) for field in row):
        quoting = csv.QUOTE_NONE
        assembly.warn("unclosed_quotation_mark", "a quotation mark is never closed: they were read as plain characters")
    assembly.table(_rows(text, delimiter, quoting))
    return assembly.loaded(title=None, media_type=Format.CSV.media_type)


def _rows(text: str, delimiter: str, quoting: Literal[0, 3]) -> Iterator[list[str]]:
    lines = (line + "\n" for line in text.split("\n"))
    return csv.reader(lines, delimiter=delimiter, quoting=quoting, skipinitialspace=True)


def _delimiter(sample: str) -> str:
    """The delimiter that cuts most of the first rows into the same number of fields, more than one."""
    scores: dict[str, tuple[float, int]] = {}
    for delimiter in _DELIMITERS:
        widths = [
            len(row)
            for _, row in zip(range(_SAMPLE_ROWS), _rows(sample, delimiter, csv.QUOTE_MINIMAL), strict=False)
            if row
        ]
        common = max(set(widths), key=widths.count) if widths else 1
        scores[delimiter] = (widths.count(common) / len(widths), common) if common > 1 else (0.0, 1)
    return max(_DELIMITERS, key=lambda delimiter: scores[delimiter])
