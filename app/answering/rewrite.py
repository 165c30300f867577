"""A question that stands alone: what is searched and answered."""

from __future__ import annotations


def to_standalone(question: str) -> str:
    """The question as it is: without earlier turns there is nothing to put into it."""
    return question
