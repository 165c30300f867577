"""A stored text as a document: for what has lost its original, or is read otherwise today."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from app.domain.jobs import Warning_
from app.domain.passages import Loaded, Page
from ingestion.load.plain_text import paragraphs

STRUCTURE_LOST = Warning_(
    code="structure_lost",
    message="the original can't be read as it was when it was uploaded: its stored text was cut at its paragraphs",
)


def loaded(text: str, pages: Sequence[Page], *, media_type: str) -> Loaded:
    """The text with the blocks that blank lines tell of, none of them across the end of a page."""
    stretches = [(page.start, page.end) for page in pages] or [(0, len(text))]
    blocks = [
        dataclasses.replace(block, start=block.start + start, end=block.end + start)
        for start, end in stretches
        for block in paragraphs(text[start:end])
    ]
    return Loaded(
        text=text,
        blocks=tuple(blocks),
        pages=tuple(pages),
        title=None,
        media_type=media_type,
        warnings=(STRUCTURE_LOST,),
    )
