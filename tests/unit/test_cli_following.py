"""How often a job is looked at by who waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.cli.following import Pace


def job(done: int, total: int) -> dict[str, Any]:
    return {"progress": {"done": done, "failed": 0, "total": total, "unit": "documents"}}


def test_a_job_with_long_to_go_is_looked_at_once_a_second() -> None:
    pace = Pace.of(job(0, 1000), 0.0)

    assert pace.pause(job(100, 1000), 10.0) == 1.0


def test_the_nearer_its_end_the_oftener_a_job_is_looked_at() -> None:
    pace = Pace.of(job(0, 1000), 0.0)

    pauses = [pace.pause(job(done, 1000), done / 100) for done in (900, 980, 999)]

    assert pauses == pytest.approx([0.25, 0.05, 0.05])


def test_a_job_that_stands_still_before_its_end_is_looked_at_less_and_less_often() -> None:
    pace = Pace.of(job(0, 10), 0.0)

    pauses = [pace.pause(job(9, 10), now) for now in (1.0, 2.0, 4.0, 600.0)]

    assert pauses == pytest.approx([0.05, 0.1, 0.3, 1.0], abs=0.02)


def test_a_job_of_which_nothing_is_done_yet_is_looked_at_at_once_then_seldom() -> None:
    pace = Pace.of(job(0, 1), 0.0)

    assert [pace.pause(job(0, 1), now) for now in (0.0, 5.0, 60.0)] == pytest.approx([0.05, 0.5, 1.0])
