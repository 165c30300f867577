"""Claim a slice of items, run it by its kind, and see to it that every item ends: the one core that every queue calls.

An item leaves the state running in one of five ways, and there is no sixth:
    finished        its run wrote a final state
    failed          its document can't be ingested, or its tries are used up; the error says why
    postponed       a passing error, a part that is down, an orderly stop, or something more urgent; it waits for its next run
    cancelled       by a person, or because its document was deleted
    lost            its worker is gone; the sweeper (or the next start) puts it back, or quarantines it
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from app.domain import disk
from app.domain.errors import FootnoteError, PartDownError, StorageFullError, TransientError
from app.domain.events import Observer
from app.domain.ids import made_at
from app.domain.jobs import Failure, Item, JobKind, JobState
from app.domain.leases import Lease, StoppingError
from app.domain.ports import Clock
from app.domain.repositories import Database, Outcome, WriteWork
from app.domain.retry import RetryPolicy

_SLICE_ITEMS = 64  # documents that share batches and transactions
_SLICE_BYTES = 4 * 1024 * 1024  # of originals in one slice; a larger document runs alone
_SWEEP_ITEMS = 1000
# That something urgent waits before a slice of less gives way, and between two looks for it.
_WAY = dt.timedelta(seconds=1)
_BATCH_LEASES = 10  # without a new part, after which a batch's maker is taken for dead: ten minutes by default
WORKER_LOST = "worker_lost"

Run = Callable[[Sequence[Item], Lease], None]


class Unexpected(Protocol):
    """Told of errors that nobody foresaw, with the items that they hit."""

    def __call__(self, error: BaseException, items: Sequence[Item]) -> None:
        """Record it; the call is made inside the `except`."""
        ...


@dataclasses.dataclass(slots=True, kw_only=True)
class _Claim:
    """The lease of one slice, as its run sees it."""

    database: Database
    clock: Clock
    kinds: Sequence[JobKind]  # that this worker claims
    leases: dict[uuid.UUID, int]  # item id -> token
    stop: threading.Event
    looked_at: dt.datetime  # for something more urgent, or when it was claimed

    def held(self, item_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        with self.database.read() as work:
            return work.jobs.held({each: self.leases[each] for each in item_ids if each in self.leases})

    def stopping(self) -> bool:
        return self.stop.is_set() or self._gives_way()

    def _gives_way(self) -> bool:
        """Whether something more urgent has waited for so long that no other worker can be free for it."""
        now = self.clock.now()
        if now - self.looked_at < _WAY:
            return False
        self.looked_at = now
        with self.database.read() as work:
            return work.jobs.is_outranked(next(iter(self.leases)), self.kinds, due=now - _WAY)


class JobRunner:
    """Runs slices for one process. Every method may be called from many threads."""

    def __init__(
        self,
        *,
        database: Database,
        runs: Mapping[JobKind, Run],
        clock: Clock,
        policy: RetryPolicy,
        max_losses: int,
        lease_seconds: float,
        owner: str,
        observer: Observer,
        unexpected: Unexpected,
        rng: random.Random,
    ) -> None:
        """Take what it works with.

        Args:
            database: where items are.
            runs: what runs each kind.
            clock: the time.
            policy: of items that fail for a passing reason.
            max_losses: losses without progress, while running alone, after which an item is quarantined.
            lease_seconds: how long a silent worker keeps its items; they are renewed every third of it.
            owner: a name that no other process has.
            observer: told of final states.
            unexpected: told of errors that are not in the product's vocabulary.
            rng: of the back-off's jitter.
        """
        self._database = database
        self._runs = runs
        self._clock = clock
        self._policy = policy
        self._max_losses = max_losses
        self._lease = dt.timedelta(seconds=lease_seconds)
        self._owner = owner
        self._observer = observer
        self._unexpected = unexpected
        self._rng = rng
        self._stop = threading.Event()
        self._claiming = threading.Lock()  # one claim at a time: each sees what this owner runs already
        self._held_lock = threading.Lock()
        self._held: dict[uuid.UUID, int] = {}

    def run_slice(self, kinds: Sequence[JobKind]) -> bool:
        """Claim some waiting items of these kinds and run them to their end; False where none was waiting."""
        if self._stop.is_set():
            return False
        with self._claiming, self._database.write() as work:
            now = self._clock.now()
            items = work.jobs.claim(
                owner=self._owner,
                kinds=kinds,
                now=now,
                lease_until=now + self._lease,
                limit=_SLICE_ITEMS,
                max_bytes=_SLICE_BYTES,
            )
            work.commit()
        if not items:
            return False
        with self._held_lock:
            self._held.update({item.id: item.lease_token for item in items})
        try:
            self._run(items, kinds)
        finally:
            with self._held_lock:
                for item in items:
                    self._held.pop(item.id, None)
        return True

    def heartbeat(self) -> None:
        """Renew the leases of everything that runs here; to be called every third of a lease."""
        with self._held_lock:
            leases = dict(self._held)
        if not leases:
            return
        with self._database.write() as work:
            work.jobs.renew(owner=self._owner, leases=leases, until=self._clock.now() + self._lease)
            work.commit()

    def stop(self) -> None:
        """Claim nothing more; running slices finish the batch in hand and give their leases back."""
        self._stop.set()

    def recover(self) -> int:
        """At the start of the only process of a data folder: put back what a dead predecessor held.

        Gives how many items there were.
        """
        with self._database.write() as work:
            items = work.jobs.of_other_owners(self._owner, limit=_SWEEP_ITEMS * 100)
            self._put_back(work, items)
            self._seal(work, quiet_since=None)  # whoever made them is dead
            work.commit()
        return len(items)

    def sweep(self) -> int:
        """Put back items whose lease has run out, and close batches that nobody fills; gives how many items there were."""
        now = self._clock.now()
        with self._database.read() as work:
            waiting = work.jobs.expired(now, limit=1) or work.jobs.unsealed(
                quiet_since=now - _BATCH_LEASES * self._lease
            )
        if not waiting:
            return 0
        with self._database.write() as work:
            items = work.jobs.expired(now, limit=_SWEEP_ITEMS)
            self._put_back(work, items)
            self._seal(work, quiet_since=now - _BATCH_LEASES * self._lease)
            work.commit()
        return len(items)

    def next_run_at(self, kinds: Sequence[JobKind]) -> dt.datetime | None:
        """When the next waiting item of these kinds may be claimed."""
        with self._database.read() as work:
            return work.jobs.next_run_at(kinds)

    def _run(self, items: Sequence[Item], kinds: Sequence[JobKind]) -> None:
        claim = _Claim(
            database=self._database,
            clock=self._clock,
            kinds=kinds,
            leases={item.id: item.lease_token for item in items},
            stop=self._stop,
            looked_at=self._clock.now(),
        )
        try:
            self._runs[items[0].kind](items, claim)
        except StoppingError:
            self._give_back(items)
        except TransientError as error:
            if self._stop.is_set():  # its model or store was closed under it
                self._give_back(items)
                return
            failure = Failure(code=error.code, message=error.message, retryable=True)
            self._try_again(items, failure, down=isinstance(error, PartDownError) or disk.is_full(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the items must end; it is recorded with its trace
            if disk.is_full(error):
                self._try_again(
                    items, Failure(code=StorageFullError.code, message=str(error), retryable=True), down=True
                )
                return
            self._unexpected(error, items)
            self._after_unexpected(items, kinds, error)

    def _after_unexpected(self, items: Sequence[Item], kinds: Sequence[JobKind], error: Exception) -> None:
        """Of a slice, run each item alone, so that only the guilty one suffers; of one item, count a failure."""
        if len(items) > 1:
            for item in items:
                if self._stop.is_set():
                    self._give_back([item])
                else:
                    self._run([item], kinds)
            return
        failure = (
            Failure(code=error.code, message=error.message, retryable=error.retryable)
            if isinstance(error, FootnoteError)
            else Failure(
                code="internal_error",
                message=f"an error in Footnote itself ({type(error).__name__}); the log has its trace under this job's id",
                retryable=True,
            )
        )
        self._try_again(items, failure)

    def _try_again(self, items: Sequence[Item], failure: Failure, *, down: bool = False) -> None:
        """Postpone items that a passing error hit, or end them where their tries are used up.

        A part that is `down` or full is no item's fault and takes none of its tries, for as long as an outage may last.
        """
        now = self._clock.now()
        with self._database.write() as work:
            work.documents.hold(item.document_id for item in items)
            held = work.jobs.held({item.id: item.lease_token for item in items})
            spent: list[Item] = []
            for item in items:
                if item.id not in held:
                    continue
                if down and self._policy.bears((now - made_at(item.id)).total_seconds()):
                    failures = item.failures
                    pause = self._policy.outage_pause_seconds * (0.5 + self._rng.random() / 2)
                else:
                    failures = item.failures + 1
                    if self._policy.exhausted(failures):
                        spent.append(item)
                        continue
                    pause = self._policy.delay_seconds(failures, rng=self._rng)
                work.jobs.postpone(
                    item.id,
                    item.lease_token,
                    failure=failure,
                    failures=failures,
                    next_run_at=now + dt.timedelta(seconds=pause),
                )
            self._fail(work, spent, failure, now)
            work.commit()

    def _give_back(self, items: Sequence[Item]) -> None:
        """Let another worker have the items at once; counts nothing."""
        now = self._clock.now()
        with self._database.write() as work:
            for item in items:
                work.jobs.postpone(item.id, item.lease_token, failure=None, failures=item.failures, next_run_at=now)
            work.commit()

    def _seal(self, work: WriteWork, *, quiet_since: dt.datetime | None) -> None:
        """Let jobs end whose maker died before it could say that they have all their items."""
        now = self._clock.now()
        unsealed = work.jobs.unsealed(quiet_since=quiet_since)
        for job_id in unsealed:
            work.jobs.seal(job_id)
        work.jobs.settle(unsealed, now)

    def _put_back(self, work: WriteWork, items: Sequence[Item]) -> None:
        """Let items of lost workers wait again; quarantine those that were lost too often without getting anywhere.

        A loss counts only while an item runs alone: in a shared slice it says nothing of the single item.
        """
        now = self._clock.now()
        work.documents.hold(item.document_id for item in items if item.losses >= self._max_losses)
        for item in items:
            if item.losses >= self._max_losses:
                failure = Failure(
                    code=WORKER_LOST,
                    message=f"the process was lost {item.losses + 1} times while it worked on this document alone, without "
                    "getting further; it is not tried again by itself",
                    retryable=True,
                )
                self._fail(work, [item], failure, now)
            else:
                work.jobs.lose(item, failures=item.failures, next_run_at=now)

    def _fail(self, work: WriteWork, items: Sequence[Item], failure: Failure, now: dt.datetime) -> None:
        outcomes = [
            Outcome(item_id=item.id, lease_token=item.lease_token, state=JobState.FAILED, error=failure)
            for item in items
        ]
        ended = work.jobs.finish(outcomes, now)
        mine = [item for item in items if item.id in ended]
        work.versions.fail_pending([item.version_id for item in mine if item.version_id is not None])
        work.jobs.settle(sorted({item.job_id for item in mine}), now)
        for item in mine:
            self._observer.item(item.kind, JobState.FAILED, failure.code)
