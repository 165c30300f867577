"""What may reach a screen: text without control sequences, JSON on one line, plain columns."""

from __future__ import annotations

import json
import os
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence

# What a terminal acts on or what reorders a line: C0, DEL, C1, lone surrogates, line and paragraph separators, and the
# bidirectional controls of UAX 9 (a "Trojan Source" line reads otherwise than it is).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SPACE = re.compile(r"\s+")


def visible(text: object, *, multiline: bool = False) -> str:
    """The text as it may be shown: whatever a terminal would act on becomes U+FFFD, white space a space.

    Args:
        text: anything; documents, file names and messages of a service alike.
        multiline: keep line ends and tabs.
    """
    shown = str(text)
    kept = "\n\t" if multiline else ""
    if not multiline:
        shown = _SPACE.sub(" ", shown)
    return _UNSAFE.sub(lambda match: match.group() if match.group() in kept and kept else "\ufffd", shown)


def json_line(value: object) -> str:
    """The value as JSON on one line; readable in every script, and as safe on a screen as `visible` text."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", json.dumps(value, ensure_ascii=False))


def coloured() -> bool:
    """Whether standard output is a screen that shows colours, and nobody asked for none (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def can_show(text: str) -> bool:
    """Whether standard output's encoding has these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def piece(text: str) -> None:
    """A part of a line to standard output, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


def counted(number: int, noun: str) -> str:
    """A number and what it counts: `1 document`, `2 documents`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def write(line: str = "") -> None:
    """One line to standard output."""
    sys.stdout.write(f"{line}\n")


def note(line: str) -> None:
    """One line for the person, to standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def complain(message: str, code: str) -> None:
    """An error as one sentence with its code, to standard error."""
    note(f"footnote: {visible(message)} [{visible(code)}]")


def columns(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows in aligned columns, nothing cut off, so that an id can be copied."""
    cells = [[visible("" if cell is None else cell) for cell in row] for row in rows]
    widths = [max(_width(row[at]) for row in [list(names), *cells]) for at in range(len(names))]
    for row in [[name.upper() for name in names], *cells]:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        write("  ".join(padded).rstrip())


def fields(value: Mapping[str, object]) -> None:
    """One object as `name: value` lines."""
    width = max((len(name) for name in value), default=0)
    for name, part in value.items():
        shown = json_line(part) if isinstance(part, dict | list) else visible("" if part is None else part)
        write(f"{visible(name):<{width}}  {shown}".rstrip())


def forgiving_streams() -> None:
    """Let a character that the terminal's encoding lacks appear escaped instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )
