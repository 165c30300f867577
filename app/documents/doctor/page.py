"""A stretch of one part that was looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from app.domain.drift import Finding


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What was looked at, and what is wrong with it."""

    looked_at: int
    findings: Sequence[Finding] = ()
