"""How a job ends, given how its items did."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from app.domain.jobs import Failure, JobState, Warning_


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ItemEnd:
    """What one item left behind."""

    ordinal: int
    warnings: tuple[Warning_, ...]
    error: Failure | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What a job ends with."""

    state: JobState
    warnings: tuple[Warning_, ...]
    error: Failure | None


def unfinished(counts: Mapping[JobState, int]) -> int:
    """How many items are still to end."""
    return counts.get(JobState.QUEUED, 0) + counts.get(JobState.RUNNING, 0)


def completed(counts: Mapping[JobState, int]) -> int:
    """How many items ended well, with or without warnings."""
    return counts.get(JobState.COMPLETED, 0) + counts.get(JobState.COMPLETED_WITH_WARNINGS, 0)


def final_state(counts: Mapping[JobState, int]) -> JobState:
    """The state of a job all of whose items are final; of one without items, completed."""
    failed, cancelled = counts.get(JobState.FAILED, 0), counts.get(JobState.CANCELLED, 0)
    if cancelled and not completed(counts):
        return JobState.CANCELLED
    if failed and not completed(counts):
        return JobState.FAILED
    if failed or cancelled or counts.get(JobState.COMPLETED_WITH_WARNINGS, 0):
        return JobState.COMPLETED_WITH_WARNINGS
    return JobState.COMPLETED


def ending(counts: Mapping[JobState, int], *, samples: Mapping[JobState, Sequence[ItemEnd]]) -> Ending:
    """State, warnings and error of a job all of whose items are final.

    Args:
        counts: items by state.
        samples: the first items of each state, in order of ordinal; of a one-item job, that item.
    """
    state = final_state(counts)
    if sum(counts.values()) == 1:
        (only,) = (each for ends in samples.values() for each in ends)
        return Ending(state=state, warnings=only.warnings, error=only.error)
    failures = samples.get(JobState.FAILED, ())
    match state:
        case JobState.FAILED:
            return Ending(state=state, warnings=(), error=_all_failed(counts[JobState.FAILED], failures))
        case JobState.CANCELLED:
            error = samples[JobState.CANCELLED][0].error
            return Ending(state=state, warnings=_summary(counts, failures), error=error)
        case _:
            return Ending(state=state, warnings=_summary(counts, failures), error=None)


def _all_failed(count: int, failures: Sequence[ItemEnd]) -> Failure:
    first = failures[0].error
    cause = f"{first.code}: {first.message}" if first is not None else "no cause was noted"
    retryable = any(each.error is not None and each.error.retryable for each in failures)
    return Failure(code="all_failed", message=f"all {count} items failed; the first with {cause}", retryable=retryable)


def _summary(counts: Mapping[JobState, int], failures: Sequence[ItemEnd]) -> tuple[Warning_, ...]:
    """One warning for each way in which items did not simply end well."""
    total = sum(counts.values())
    warnings = []
    if failed := counts.get(JobState.FAILED, 0):
        named = [f"{each.ordinal} ({each.error.code})" for each in failures if each.error is not None]
        more = ", ..." if failed > len(named) else ""
        message = f"{failed} of {total} items failed, by ordinal: {', '.join(named)}{more}"
        warnings.append(Warning_(code="items_failed", message=message))
    if cancelled := counts.get(JobState.CANCELLED, 0):
        warnings.append(Warning_(code="items_cancelled", message=f"{cancelled} of {total} items were cancelled"))
    if warned := counts.get(JobState.COMPLETED_WITH_WARNINGS, 0):
        warnings.append(Warning_(code="items_warned", message=f"{warned} of {total} items ended with warnings"))
    return tuple(warnings)
