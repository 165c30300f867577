"""Every item ends, whatever its run does: on a real database, with a clock that the test moves."""

from __future__ import annotations

import datetime as dt
import pathlib
import random
import uuid
from collections.abc import Callable, Iterator, Sequence

import pytest

from app.db.unit_of_work import SqlDatabase
from app.documents import enqueue
from app.domain.access import Workspace
from app.domain.errors import PartDownError, TransientError
from app.domain.events import Silent
from app.domain.ids import made_at, new_id
from app.domain.jobs import Item, Job, JobKind, JobState, Stage
from app.domain.leases import Lease, StoppingError
from app.domain.repositories import LeaseProgress, Outcome
from app.domain.retry import RetryPolicy
from ingestion.run_job import WORKER_LOST, JobRunner

Run = Callable[[Sequence[Item], Lease], None]
ATTEMPTS = 3
MAX_LOSSES = 4
LEASE_SECONDS = 60.0


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.time = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def now(self) -> dt.datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += dt.timedelta(seconds=seconds)


class Bench:
    """A database with one workspace, and runners on it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.clock = Clock()
        self.database = SqlDatabase(folder / "jobs.db", pool_size=4, busy_timeout_seconds=10.0)
        self.database.migrate()
        self.unexpected: list[BaseException] = []
        self.workspace = Workspace(id=new_id(), name="w", created_at=self.clock.now())
        with self.database.write() as work:
            work.workspaces.add(self.workspace)
            work.commit()

    def runner(self, run: Run, *, owner: str = "me") -> JobRunner:
        return JobRunner(
            database=self.database,
            runs={JobKind.REFRESH: run},
            clock=self.clock,
            policy=RetryPolicy(attempts=ATTEMPTS, base_seconds=1.0, cap_seconds=10.0),
            max_losses=MAX_LOSSES,
            lease_seconds=LEASE_SECONDS,
            owner=owner,
            observer=Silent(),
            unexpected=lambda error, _items: self.unexpected.append(error),
            rng=random.Random(1),
        )

    def job(self, items: int = 1, *, priority: int = 0, sealed: bool = True) -> Job:
        now = self.clock.now()
        job = enqueue.new_job(
            JobKind.REFRESH,
            workspace_id=self.workspace.id,
            now=now,
            collection_id=None,
            document_id=None,
            request_id=None,
        )
        with self.database.write() as work:
            work.jobs.add(job, sealed=sealed)
            rows = [enqueue.new_item(job, ordinal=n, document_id=None, version_id=None, now=now) for n in range(items)]
            work.jobs.add_items(rows, priority=priority)
            work.commit()
        return job

    def state(self, job: Job) -> Job:
        with self.database.read() as work:
            found = work.jobs.get(self.workspace.id, job.id)
        assert found is not None
        return found

    def items(self, job: Job) -> list[Item]:
        with self.database.read() as work:
            return work.jobs.items(job.id, state=None, after_ordinal=None, limit=1000)

    def finish(self, items: Sequence[Item]) -> None:
        with self.database.write() as work:
            outcomes = [
                Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.COMPLETED) for item in items
            ]
            work.jobs.finish(outcomes, self.clock.now())
            work.jobs.settle(sorted({item.job_id for item in items}), self.clock.now())
            work.commit()


@pytest.fixture
def bench(tmp_path: pathlib.Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.database.close()


KINDS = (JobKind.REFRESH,)


def test_a_slice_that_goes_well_ends_its_job(bench: Bench) -> None:
    job = bench.job(items=3)
    runner = bench.runner(lambda items, _lease: bench.finish(items))

    assert runner.run_slice(KINDS)
    assert not runner.run_slice(KINDS)
    assert (bench.state(job).state, bench.state(job).done) == (JobState.COMPLETED, 3)


def test_a_passing_error_is_tried_again_later_and_not_for_ever(bench: Bench) -> None:
    job = bench.job()

    def fail(_items: Sequence[Item], _lease: Lease) -> None:
        raise TransientError("the index is away")

    runner = bench.runner(fail)
    for _ in range(ATTEMPTS - 1):
        assert runner.run_slice(KINDS)
        assert not runner.run_slice(KINDS), "it must wait for its back-off"
        bench.clock.move(11)
    assert runner.run_slice(KINDS)

    ended = bench.state(job)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert (ended.error.code, ended.error.retryable) == ("unavailable", True)
    bench.clock.move(1000)
    assert not runner.run_slice(KINDS)


def test_a_part_that_is_down_takes_no_tries_however_long_that_lasts_and_then_it_does(bench: Bench) -> None:
    job = bench.job(items=3)
    bench.clock.time = made_at(bench.items(job)[0].id)

    def fail(_items: Sequence[Item], _lease: Lease) -> None:
        raise PartDownError("the index is away")

    runner = bench.runner(fail)
    for _ in range(ATTEMPTS * 3):
        assert runner.run_slice(KINDS)
        assert not runner.run_slice(KINDS), "it must wait a little"
        bench.clock.move(600)
    assert [item.failures for item in bench.items(job)] == [0, 0, 0]
    assert bench.items(job)[0].error is not None, "who looks is told what is down"

    bench.clock.move(RetryPolicy().outage_seconds)
    for _ in range(ATTEMPTS):
        assert runner.run_slice(KINDS)
        bench.clock.move(11)
    assert bench.state(job).state is JobState.FAILED


def test_a_job_whose_maker_died_before_it_was_sealed_ends_after_a_while(bench: Bench) -> None:
    job = bench.job(items=2, sealed=False)
    bench.clock.time = made_at(bench.items(job)[1].id)
    runner = bench.runner(lambda items, _lease: bench.finish(items))
    assert runner.run_slice(KINDS)

    bench.clock.move(60)
    runner.sweep()
    assert not bench.state(job).state.final, "its maker may still be at it"

    bench.clock.move(600)
    runner.sweep()
    assert bench.state(job).state is JobState.COMPLETED


def test_of_a_slice_with_a_bug_only_the_guilty_item_suffers(bench: Bench) -> None:
    job = bench.job(items=5)

    def run(items: Sequence[Item], _lease: Lease) -> None:
        if any(item.ordinal == 2 for item in items):
            raise ZeroDivisionError
        bench.finish(items)

    runner = bench.runner(run)
    for _ in range(ATTEMPTS):
        runner.run_slice(KINDS)
        bench.clock.move(11)

    states = [item.state for item in bench.items(job)]
    assert states == [JobState.COMPLETED] * 2 + [JobState.FAILED] + [JobState.COMPLETED] * 2
    assert bench.items(job)[2].error.code == "internal_error"  # type: ignore[union-attr]
    assert bench.state(job).state is JobState.COMPLETED_WITH_WARNINGS
    assert bench.unexpected


def test_an_orderly_stop_gives_the_lease_back_and_counts_nothing(bench: Bench) -> None:
    job = bench.job()

    def stop(_items: Sequence[Item], _lease: Lease) -> None:
        raise StoppingError

    bench.runner(stop).run_slice(KINDS)

    (item,) = bench.items(job)
    assert (item.state, item.failures, item.losses) == (JobState.QUEUED, 0, 0)
    assert bench.runner(lambda items, _lease: bench.finish(items), owner="next").run_slice(KINDS)
    assert bench.state(job).state is JobState.COMPLETED


def test_a_runner_that_was_asked_to_stop_claims_nothing(bench: Bench) -> None:
    bench.job()
    runner = bench.runner(lambda items, _lease: bench.finish(items))
    runner.stop()
    assert not runner.run_slice(KINDS)


def _claim(bench: Bench, owner: str) -> list[Item]:
    """What a worker holds that is killed before it writes anything."""
    with bench.database.write() as work:
        items = work.jobs.claim(
            owner=owner,
            kinds=KINDS,
            now=bench.clock.now(),
            lease_until=bench.clock.now() + dt.timedelta(seconds=LEASE_SECONDS),
            limit=64,
            max_bytes=1,
        )
        work.commit()
    return items


def test_the_sweeper_finds_what_a_dead_worker_held_and_only_after_its_lease(bench: Bench) -> None:
    job = bench.job(items=2)
    _claim(bench, "dead")
    runner = bench.runner(lambda items, _lease: bench.finish(items))

    assert runner.sweep() == 0
    bench.clock.move(LEASE_SECONDS + 1)
    assert runner.sweep() == 2
    while runner.run_slice(KINDS):
        pass
    assert bench.state(job).state is JobState.COMPLETED


def test_the_next_start_finds_it_at_once(bench: Bench) -> None:
    job = bench.job()
    _claim(bench, "dead")
    runner = bench.runner(lambda items, _lease: bench.finish(items))

    assert runner.recover() == 1
    runner.run_slice(KINDS)
    assert bench.state(job).state is JobState.COMPLETED


def test_a_worker_that_lost_its_lease_can_not_end_the_item(bench: Bench) -> None:
    job = bench.job()
    late = _claim(bench, "slow")
    bench.clock.move(LEASE_SECONDS + 1)
    bench.runner(lambda items, _lease: bench.finish(items)).sweep()

    bench.finish(late)

    assert bench.state(job).state is JobState.RUNNING
    assert bench.items(job)[0].state is JobState.QUEUED


def test_a_heartbeat_keeps_the_lease(bench: Bench) -> None:
    bench.job()
    other = bench.runner(lambda items, _lease: bench.finish(items), owner="other")
    seen: list[int] = []

    def run(items: Sequence[Item], _lease: Lease) -> None:
        bench.clock.move(LEASE_SECONDS * 0.8)
        runner.heartbeat()
        bench.clock.move(LEASE_SECONDS * 0.8)
        seen.append(other.sweep())
        bench.finish(items)

    runner = bench.runner(run)
    runner.run_slice(KINDS)
    assert seen == [0]


def test_an_item_that_kills_its_worker_again_and_again_is_quarantined_and_blocks_nothing(bench: Bench) -> None:
    poison = bench.job()
    innocent = bench.job()
    runner = bench.runner(lambda items, _lease: bench.finish(items))
    for _ in range(MAX_LOSSES + 1):
        held = _claim(bench, "dead")
        assert any(item.job_id == poison.id for item in held)
        runner.recover()

    ended = bench.state(poison)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert ended.error.code == WORKER_LOST
    while runner.run_slice(KINDS):
        pass
    assert bench.state(innocent).state is JobState.COMPLETED


def test_what_was_lost_along_with_a_bad_document_is_not_quarantined_with_it(bench: Bench) -> None:
    poison, innocent = bench.job(), bench.job()
    runner = bench.runner(lambda items, _lease: bench.finish(items))
    while bench.state(poison).state is not JobState.FAILED:
        while _claim(bench, "dead"):  # as many threads as there is work for, all of one process
            pass
        runner.recover()

    assert bench.items(innocent)[0].losses == 2
    assert runner.run_slice(KINDS)
    assert bench.state(innocent).state is JobState.COMPLETED


def test_an_item_that_gets_further_each_time_is_never_quarantined(bench: Bench) -> None:
    job = bench.job()
    runner = bench.runner(lambda items, _lease: bench.finish(items))
    for turn in range(3 * MAX_LOSSES):
        (item,) = _claim(bench, "dead")
        with bench.database.write() as work:
            work.jobs.progress(
                [
                    LeaseProgress(
                        item_id=item.id,
                        lease_token=item.lease_token,
                        stage=Stage.INDEX,
                        units_done=turn + 1,
                        units_total=100,
                    )
                ]
            )
            work.commit()
        runner.recover()
    assert bench.state(job).state is JobState.RUNNING
    assert runner.run_slice(KINDS)
    assert bench.state(job).state is JobState.COMPLETED


def test_a_batch_whose_maker_died_is_closed_at_the_next_start(bench: Bench) -> None:
    now = bench.clock.now()
    job = enqueue.new_job(
        JobKind.REFRESH, workspace_id=bench.workspace.id, now=now, collection_id=None, document_id=None, request_id=None
    )
    with bench.database.write() as work:
        work.jobs.add(job, sealed=False)
        work.jobs.add_items(
            [enqueue.new_item(job, ordinal=0, document_id=None, version_id=uuid.uuid4(), now=now)], priority=0
        )
        work.commit()
    bench.clock.move(1)
    runner = bench.runner(lambda items, _lease: bench.finish(items))
    runner.recover()
    runner.run_slice(KINDS)
    assert bench.state(job).state is JobState.COMPLETED


def test_what_is_less_urgent_gives_way_and_goes_on_after(bench: Bench) -> None:
    book, ran = bench.job(priority=10), list[uuid.UUID]()
    urgent: list[Job] = []

    def run(items: Sequence[Item], lease: Lease) -> None:
        ran.append(items[0].job_id)
        if len(ran) == 1:
            urgent.append(bench.job(priority=0))
            assert not lease.stopping(), "another worker may be free for it"
            bench.clock.move(1)
            assert lease.stopping()
            raise StoppingError
        bench.clock.move(10)
        assert not lease.stopping()
        bench.finish(items)

    runner = bench.runner(run)
    while runner.run_slice(KINDS):
        pass

    assert ran == [book.id, urgent[0].id, book.id]
    (item,) = bench.items(book)
    assert (item.state, item.failures, item.losses) == (JobState.COMPLETED, 0, 0)


def test_nothing_gives_way_to_what_is_no_more_urgent(bench: Bench) -> None:
    bench.job(priority=10)

    def run(items: Sequence[Item], lease: Lease) -> None:
        bench.job(priority=10)
        bench.clock.move(60)
        assert not lease.stopping()
        bench.finish(items)

    assert bench.runner(run).run_slice(KINDS)
    assert bench.unexpected == []
