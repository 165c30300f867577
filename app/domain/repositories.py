"""What use cases ask of the database. `app.db` implements it; all SQL is there.

A repository belongs to an open unit of work and is used by one thread. Methods that name a `workspace_id` see nothing
outside it. Lists come in pages: `after` is the id of the last row seen, rows come in ascending order of id (which is the
order of creation) unless the method says otherwise.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from app.domain.access import Key, Principal, Workspace
from app.domain.answers import Answer
from app.domain.conversations import Conversation, Summary
from app.domain.documents import Chunk, Collection, Deletion, Document, Fingerprints, Index, Indexed, Version
from app.domain.drift import DriftReport
from app.domain.filters import Filter
from app.domain.jobs import Failure, Item, Job, JobKind, JobState, Stage, Warning_
from app.domain.models import ModelCall, UsageBy, UsageLine
from app.domain.policies import PolicyVersion, TemplateVersion


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A chunk as the database knows it, with what is needed to decide whether a caller may see it."""

    chunk: Chunk
    chunk_id: uuid.UUID
    document: Document
    live: bool  # version and index are the live ones, document and collection are not deleted
    version_live: bool  # the same, whichever index of the collection the chunk is in
    marks: tuple[str, ...] = ()  # of the version, where it is the live one: `instructions`, `hidden_text`


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose a chunk is."""

    index_id: uuid.UUID
    version_id: uuid.UUID


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class IndexSize:
    """How much of a collection an index has."""

    live_versions: int  # of the collection
    versions: int  # those that are whole in the index
    chunks: int  # theirs


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """A version whose points may be in a space though no search may show them."""

    version_id: uuid.UUID
    document_id: uuid.UUID
    space: str
    swept_at: dt.datetime | None  # when its points were last removed; None before


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaseProgress:
    """How far an item has come, as its worker reports it."""

    item_id: uuid.UUID
    lease_token: int
    stage: Stage
    units_done: int
    units_total: int | None
    warnings: tuple[Warning_, ...] | None = None  # None leaves those that the item has


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an item ended. `state` is final."""

    item_id: uuid.UUID
    lease_token: int
    state: JobState
    warnings: tuple[Warning_, ...] = ()
    error: Failure | None = None


class Workspaces(Protocol):
    """Workspaces."""

    def add(self, workspace: Workspace) -> None:
        """Insert. Raises ConflictError where the name is taken."""
        ...

    def get(self, workspace_id: uuid.UUID) -> Workspace | None:
        """One by id."""
        ...

    def by_name(self, name: str) -> Workspace | None:
        """One by name."""
        ...

    def page(self, *, after: uuid.UUID | None, limit: int) -> list[Workspace]:
        """All, in pages."""
        ...

    def remove(self, workspace_id: uuid.UUID) -> None:
        """Delete the row with its keys, jobs and receipts. Raises ConflictError where it still holds a collection."""
        ...


class Keys(Protocol):
    """API keys."""

    def add(self, key: Key) -> None:
        """Insert."""
        ...

    def get(self, workspace_id: uuid.UUID, key_id: uuid.UUID) -> Key | None:
        """One by id."""
        ...

    def by_secret_hash(self, secret_hash: str) -> Key | None:
        """One by the hash of its secret, revoked or expired ones too."""
        ...

    def page(self, workspace_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Key]:
        """A workspace's keys, in pages; revoked ones too."""
        ...

    def revoke(self, workspace_id: uuid.UUID, key_id: uuid.UUID, now: dt.datetime) -> bool:
        """Mark as revoked; False where there is no such key that still works."""
        ...


class Collections(Protocol):
    """Collections and their indexes. Deleted collections are not seen but by `purge`."""

    def add(self, collection: Collection, index: Index) -> None:
        """Insert both. Raises ConflictError where the name is taken."""
        ...

    def get(self, workspace_id: uuid.UUID, collection_id: uuid.UUID, *, alone: bool = False) -> Collection | None:
        """One by id; `alone` as with `by_name`."""
        ...

    def by_name(self, workspace_id: uuid.UUID, name: str, *, alone: bool = False) -> Collection | None:
        """One by name. In a writing unit nobody changes it until the unit ends; `alone`, nobody else may be about to."""
        ...

    def named(self, workspace_id: uuid.UUID, names: Sequence[str] | None) -> list[tuple[Collection, Index]]:
        """Collections with their live index, those of these names or all; unknown names are simply absent."""
        ...

    def page(self, workspace_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Collection]:
        """A workspace's collections, in pages."""
        ...

    def update(self, collection: Collection) -> None:
        """Write name, description, updated_at. Raises ConflictError where the name is taken."""
        ...

    def index(self, index_id: uuid.UUID) -> Index | None:
        """One index by id."""
        ...

    def live_index(self, collection_id: uuid.UUID) -> Index | None:
        """The live index of a collection, a deleted one's too."""
        ...

    def indexes(self, collection_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Index]]:
        """All that uploads into these collections go into, deleted ones' too: the live one first."""
        ...

    def hold(self, collection_ids: Iterable[uuid.UUID]) -> None:
        """Let nobody change which indexes these have until this writing unit ends; to be called before documents are held."""
        ...

    def add_index(self, index: Index) -> None:
        """Insert an index; `set_indexes` makes it one of its collection's."""
        ...

    def set_indexes(self, collection: Collection) -> None:
        """Write which index is live, which is being built and which stands by."""
        ...

    def drop_index(self, index_id: uuid.UUID, now: dt.datetime) -> None:
        """No collection names it any more: what it holds may be removed."""
        ...

    def dropped_indexes(self, *, dropped_before: dt.datetime) -> list[Index]:
        """Those that were dropped before that moment and still have their row."""
        ...

    def remove_index(self, index_id: uuid.UUID) -> None:
        """Delete the row of a dropped index that holds no chunk any more."""
        ...

    def spaces(self) -> list[tuple[Fingerprints, int]]:
        """Fingerprints and dimensions of every index there is, deleted collections' too, each space once."""
        ...

    def mark_deleted(self, workspace_id: uuid.UUID, collection_id: uuid.UUID, now: dt.datetime) -> None:
        """Hide it; its name is free again."""
        ...

    def count_documents(self, collection_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """Undeleted documents of each."""
        ...


class Documents(Protocol):
    """Documents. Deleted ones are not seen by any method that does not say so."""

    def add(self, document: Document) -> None:
        """Insert, with its readers and metadata. Raises ConflictError where the external id is taken."""
        ...

    def add_many(self, documents: Sequence[Document]) -> None:
        """Insert several. Raises ConflictError where an external id is taken."""
        ...

    def get(self, workspace_id: uuid.UUID, document_id: uuid.UUID) -> Document | None:
        """One by id."""
        ...

    def many(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Document]:
        """Several by id, of any workspace; absent ones are absent."""
        ...

    def hold(self, document_ids: Iterable[uuid.UUID | None]) -> None:
        """Let nobody else change these documents, deleted ones too, until this writing unit ends; None is passed over.

        Whoever changes items and their documents in one unit takes the documents first: two units that each wait for the
        other would both fail.
        """
        ...

    def by_external_id(self, collection_id: uuid.UUID, external_id: str) -> Document | None:
        """One by external id."""
        ...

    def by_external_ids(self, collection_id: uuid.UUID, external_ids: Sequence[str]) -> dict[str, Document]:
        """Several by external id; absent ones are absent."""
        ...

    def page(
        self,
        principal: Principal,
        *,
        collection_id: uuid.UUID | None,
        condition: Filter | None,
        after: uuid.UUID | None,
        limit: int,
    ) -> list[Document]:
        """Documents that the principal may read, in pages; readers and metadata are filtered in SQL."""
        ...

    def update(self, document: Document) -> None:
        """Write title, metadata, readers, live_version_id, updated_at. Raises NotFoundError where its row is gone."""
        ...

    def update_many(self, documents: Sequence[Document]) -> None:
        """The same of several."""
        ...

    def count_readable(self, principal: Principal, collection_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """How many documents of each collection the principal may read."""
        ...

    def deleted(self, workspace_id: uuid.UUID, document_id: uuid.UUID) -> Document | None:
        """One that is marked as deleted and still has its row."""
        ...

    def in_collection(self, collection_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Document]:
        """A collection's documents whoever may read them, in pages; deleted documents and collections too."""
        ...

    def mark_deleted(self, document_ids: Sequence[uuid.UUID], now: dt.datetime) -> None:
        """Hide documents at once; their external ids are free again."""
        ...

    def remove(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """Delete the rows of deleted documents with their versions, chunks, readers and metadata; gives the number of
        document and version rows of each.
        """
        ...

    def count_matching(self, principal: Principal, *, collection_id: uuid.UUID, condition: Filter | None) -> int:
        """How many documents of a collection the principal may read pass a condition."""
        ...


class Versions(Protocol):
    """Versions, and the list of those that must be hidden from searches."""

    def add(self, version: Version) -> None:
        """Insert. Raises ConflictError where the document has this seq already."""
        ...

    def add_many(self, versions: Sequence[Version]) -> None:
        """Insert several. Raises ConflictError where a document has a seq already."""
        ...

    def get(self, workspace_id: uuid.UUID, version_id: uuid.UUID) -> Version | None:
        """One by id."""
        ...

    def of_document(self, document_id: uuid.UUID) -> list[Version]:
        """All versions of a document, deleted documents' too, newest first."""
        ...

    def of_documents(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Version]]:
        """The same of several, by document; one without versions is absent."""
        ...

    def many(self, version_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Version]:
        """Several by id; absent ones are absent."""
        ...

    def update(self, version: Version) -> None:
        """Write state, title, metadata, readers, pages, text_chars, text_bytes, chunks, marks. Raises NotFoundError where its row is gone."""
        ...

    def update_many(self, versions: Sequence[Version]) -> None:
        """The same of several."""
        ...

    def fail_pending(self, version_ids: Sequence[uuid.UUID]) -> None:
        """Those of the versions that are pending become failed: they will not be ingested. The readers of their documents,
        which they had narrowed, are again those of the live version, narrowed by what is still pending.
        """
        ...

    def remove(self, version_id: uuid.UUID) -> None:
        """Delete a version's row and chunks."""
        ...

    def hide(
        self, version_ids: Sequence[uuid.UUID], *, document_ids: Sequence[uuid.UUID], space: str, now: dt.datetime
    ) -> None:
        """Note, before the first point is written or when they stop being live, that points of these may exist and must
        not be seen. Noting twice is noting once (and un-sweeps).
        """
        ...

    def unhide(self, version_ids: Sequence[uuid.UUID]) -> None:
        """These versions are live now, in every space."""
        ...

    def hidden_ids(self, space: str, *, limit: int) -> list[uuid.UUID]:
        """Hidden versions whose points have not been swept; newest first; at most `limit`."""
        ...

    def hidden_for_sweep(self, *, swept_before: dt.datetime, limit: int) -> list[Hidden]:
        """Hidden versions that are not pending: never swept, or swept once before that moment."""
        ...

    def hidden_of(self, version_ids: Sequence[uuid.UUID]) -> list[Hidden]:
        """The notes on these versions."""
        ...

    def swept(self, notes: Sequence[Hidden], *, now: dt.datetime, forget: bool) -> None:
        """Points of these were removed; `forget` drops the note: no late writer can be left."""
        ...


class Chunks(Protocol):
    """Chunks."""

    def add(self, chunks: Sequence[tuple[uuid.UUID, Chunk]]) -> None:
        """Insert chunks, each with its document's id; one that is there already stays."""
        ...

    def remove(self, version_ids: Sequence[uuid.UUID], *, index_id: uuid.UUID | None = None) -> int:
        """Delete the chunks of versions, of one build or of all; gives how many."""
        ...

    def note_indexed(self, rows: Sequence[Indexed]) -> None:
        """Note that these are cut whole, or also written whole; noting anew replaces."""
        ...

    def indexed(self, version_ids: Sequence[uuid.UUID]) -> dict[tuple[uuid.UUID, uuid.UUID], Indexed]:
        """What is noted of these versions, by (index id, version id)."""
        ...

    def counts(self, version_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
        """How many chunks each of these versions has in all its indexes; those without any are absent."""
        ...

    def lacking(
        self, collection_id: uuid.UUID, index_id: uuid.UUID, *, after: uuid.UUID | None, limit: int
    ) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """(document id, version id) of live versions that are not whole in an index, by document, after that document."""
        ...

    def size(self, collection_id: uuid.UUID, index_id: uuid.UUID) -> IndexSize:
        """How much of a collection's live versions an index has."""
        ...

    def places(self, chunk_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Place]:
        """Where each of these chunks is; absent ones are absent."""
        ...

    def in_index(self, index_id: uuid.UUID, *, limit: int) -> list[uuid.UUID]:
        """Ids of chunks of one index, in no stated order."""
        ...

    def remove_by_id(self, chunk_ids: Sequence[uuid.UUID]) -> None:
        """Delete these chunks."""
        ...

    def of_version(self, version_id: uuid.UUID, index_id: uuid.UUID, *, first: int, limit: int) -> list[Chunk]:
        """A version's chunks with ordinal >= first, in order."""
        ...

    def count(self, version_id: uuid.UUID, index_id: uuid.UUID) -> int:
        """How many a version has."""
        ...

    def hits(self, workspace_id: uuid.UUID, chunk_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Hit]:
        """Chunks with their documents, by chunk id, in one query; absent ones are absent. Says whether each is live."""
        ...

    def by_space(self) -> dict[str, int]:
        """Chunks of versions that are cut, of every workspace, by the space that their points are in."""
        ...

    def total(self) -> int:
        """Chunks of all live versions, of every workspace (may be a cheap upper bound)."""
        ...


class Jobs(Protocol):
    """Jobs and their items."""

    def add(self, job: Job, *, sealed: bool = True) -> None:
        """Insert a job; one that is not sealed still takes items and is not settled."""
        ...

    def add_items(self, items: Sequence[Item], *, priority: int) -> None:
        """Insert items; a smaller priority is claimed first. `job.total` rises with them."""
        ...

    def seal(self, job_id: uuid.UUID) -> None:
        """No more items will come."""
        ...

    def unsealed(self, *, quiet_since: dt.datetime | None) -> list[uuid.UUID]:
        """Jobs that their maker did not seal, and that got no item since (None: all); in a writing unit they get none until it ends."""
        ...

    def get(self, workspace_id: uuid.UUID, job_id: uuid.UUID) -> Job | None:
        """One by id."""
        ...

    def page(self, principal: Principal, *, state: JobState | None, after: uuid.UUID | None, limit: int) -> list[Job]:
        """Jobs that the principal may see (those on documents it may not read are left out), NEWEST first; `after` is
        the last id seen.
        """
        ...

    def visible(self, principal: Principal, job_id: uuid.UUID) -> Job | None:
        """One job, if the principal may see it: its document (if one is named) is deleted or readable."""
        ...

    def items(self, job_id: uuid.UUID, *, state: JobState | None, after_ordinal: int | None, limit: int) -> list[Item]:
        """A job's items in order of ordinal."""
        ...

    def last_item(self, job_id: uuid.UUID) -> Item | None:
        """The item of a job with the greatest ordinal."""
        ...

    def item_of_version(self, version_id: uuid.UUID) -> Item | None:
        """The newest item that ingests this version."""
        ...

    def unfinished(self, collection_id: uuid.UUID, kind: JobKind) -> uuid.UUID | None:
        """A job of this kind on a collection that has not ended."""
        ...

    def queue_position(self, job_id: uuid.UUID) -> int | None:
        """About how many waiting items are claimed before this job's first waiting one; None where none waits.

        Of the kinds that are claimed together with it: all of a higher priority; of its own priority the older ones of its
        workspace, and from each other workspace as many again, or as many as that has: workspaces take turns. What runs
        already, and what will come, is not counted.
        """
        ...

    def pace(self, kind: JobKind, *, now: dt.datetime, window: dt.timedelta) -> float | None:
        """Items a second that ended (other than cancelled) since the oldest waiting one came to wait, looking no further
        back than `window`; of the kinds that are claimed together with this one. Times at which nobody waited, and
        workers perhaps idled, tell nothing. None where none ended, or it has waited for less than a second.
        """
        ...

    def queued(self, workspace_id: uuid.UUID) -> int:
        """How many documents of a workspace wait to be ingested or are being so."""
        ...

    def is_outranked(self, item_id: uuid.UUID, kinds: Sequence[JobKind], *, due: dt.datetime) -> bool:
        """Whether an item of these kinds and of a higher priority than this one has been claimable since `due`."""
        ...

    def claim(
        self,
        *,
        owner: str,
        kinds: Sequence[JobKind],
        now: dt.datetime,
        lease_until: dt.datetime,
        limit: int,
        max_bytes: int,
    ) -> list[Item]:
        """Take waiting items of one workspace and one kind family for this owner: state running, lease_token + 1.

        The most urgent go first. Of equal priority, the workspace goes next that was served the longest ago (by family of
        kinds), and of its items the oldest; one claim takes items of one priority. At most `limit`, and (but for the
        first) only as many as keep the versions' sizes within `max_bytes` in all. An item with two losses or more is taken alone, and an owner runs one
        of these at a time: what ends its worker takes no second suspect along. Of many workers that claim at once,
        one gets an item. Jobs that were queued become running.
        """
        ...

    def renew(self, *, owner: str, leases: Mapping[uuid.UUID, int], until: dt.datetime) -> set[uuid.UUID]:
        """Extend leases (item id -> token); gives the ids still held."""
        ...

    def held(self, leases: Mapping[uuid.UUID, int]) -> set[uuid.UUID]:
        """Those of the items that are still running under exactly this token."""
        ...

    def progress(self, reports: Sequence[LeaseProgress]) -> set[uuid.UUID]:
        """Write stage and units where the token still holds; gives the ids written."""
        ...

    def finish(self, outcomes: Sequence[Outcome], now: dt.datetime) -> set[uuid.UUID]:
        """Write final states where the token still holds; gives the ids written. Follow with `settle`."""
        ...

    def postpone(
        self, item_id: uuid.UUID, lease_token: int, *, failure: Failure | None, failures: int, next_run_at: dt.datetime
    ) -> bool:
        """Put a running item back to wait, where the token still holds: after a failure that is tried again, or (failure
        None) in an orderly stop, which counts nothing.
        """
        ...

    def expired(self, now: dt.datetime, *, limit: int) -> list[Item]:
        """Running items whose lease has run out."""
        ...

    def of_other_owners(self, owner: str, *, limit: int) -> list[Item]:
        """Running items that are leased to anyone but this owner; what an embedded start finds of a dead process."""
        ...

    def lose(self, item: Item, *, failures: int, next_run_at: dt.datetime) -> bool:
        """Put back an item whose worker was lost: losses + 1, token + 1; False where it moved on meanwhile."""
        ...

    def cancel_items(
        self,
        *,
        job_id: uuid.UUID | None = None,
        version_ids: Sequence[uuid.UUID] = (),
        error: Failure,
        now: dt.datetime,
    ) -> list[Item]:
        """Make unfinished items of a job, or those that ingest these versions, cancelled, running ones too (their token
        rises); gives them as they are now. Follow with `settle`.
        """
        ...

    def settle(self, job_ids: Sequence[uuid.UUID], now: dt.datetime) -> list[Job]:
        """Bring the jobs' counts up to date; those sealed with no unfinished item become final: cancelled if any item was
        cancelled and none completed, failed if all failed, completed_with_warnings if some failed or warned, else
        completed. A one-item job takes over its item's warnings and error. Gives the jobs that became final.
        """
        ...

    def counts(self) -> dict[tuple[JobKind, JobState], int]:
        """Items by kind and state, over all workspaces; for metrics."""
        ...

    def next_run_at(self, kinds: Sequence[JobKind]) -> dt.datetime | None:
        """When the earliest waiting item of these kinds may be claimed; None where none waits."""
        ...

    def prune(self, *, finished_before: dt.datetime, limit: int) -> int:
        """Delete final jobs that old, with their items."""
        ...


class Deletions(Protocol):
    """Receipts."""

    def add_many(self, deletions: Sequence[tuple[Deletion, Sequence[str]]]) -> None:
        """Insert, each with the readers that its document had: who could read it may read its receipt."""
        ...

    def of_document(self, principal: Principal, document_id: uuid.UUID) -> Deletion | None:
        """The receipt of a document's deletion, if the principal could read the document."""
        ...

    def unfinished(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Deletion]:
        """The receipts of documents whose purge has not ended, by document."""
        ...

    def update_many(self, deletions: Sequence[Deletion]) -> None:
        """Write the counts and finished_at."""
        ...


class Answers(Protocol):
    """Answers with their citations."""

    def add(self, answer: Answer) -> None:
        """Insert. Its citations name documents that have their rows."""
        ...

    def get(self, workspace_id: uuid.UUID, answer_id: uuid.UUID) -> Answer | None:
        """One by id, with every citation, those of deleted documents too."""
        ...

    def of_conversation(self, conversation_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Answer]:
        """A conversation's, in order, each with every citation."""
        ...

    def last_of_conversation(self, conversation_id: uuid.UUID, *, limit: int) -> list[Answer]:
        """The last ones of a conversation, in order, each with every citation."""
        ...

    def forget(self, document_ids: Sequence[uuid.UUID]) -> int:
        """Take out of every answer what it has of these documents: citations, the sentences that stand on them, and the
        question as it stands alone where words of it came from them.

        Gives how many answers were changed.
        """
        ...

    def prune(self, *, created_before: dt.datetime, limit: int) -> int:
        """Delete answers that old."""
        ...


class Conversations(Protocol):
    """Conversations, whose turns are answers."""

    def add(self, conversation: Conversation) -> None:
        """Insert."""
        ...

    def get(self, workspace_id: uuid.UUID, conversation_id: uuid.UUID) -> Conversation | None:
        """One by id; a writing unit holds it."""
        ...

    def page(self, principal: Principal, *, after: uuid.UUID | None, limit: int) -> list[Conversation]:
        """The principal's own, in order of creation."""
        ...

    def rename(self, conversation_id: uuid.UUID, title: str) -> None:
        """Write the title. Raises NotFoundError."""
        ...

    def touch(self, conversation_id: uuid.UUID, now: dt.datetime, *, title: str) -> bool:
        """Note a turn, and the title where there is none yet; False where the conversation is gone."""
        ...

    def remove(self, conversation_id: uuid.UUID) -> tuple[int, int]:
        """Delete with its answers and its summary; gives how many answers and summaries these were."""
        ...

    def unused(self, *, updated_before: dt.datetime, limit: int) -> list[uuid.UUID]:
        """Those without a turn since."""
        ...

    def summary(self, conversation_id: uuid.UUID) -> Summary | None:
        """What its turns so far come to, with every document that this leans on, deleted ones too."""
        ...

    def set_summary(self, summary: Summary) -> bool:
        """Write it in place of the one before, in a unit of its own. False, and nothing is written, where the conversation
        or a document that the summary leans on is gone or deleted, or where the one that is there reaches as far.
        """
        ...

    def forget(self, document_ids: Sequence[uuid.UUID]) -> int:
        """Delete the summaries that lean on any of these documents; gives how many there were."""
        ...


class ModelCalls(Protocol):
    """The books: what models were asked, and what it cost. They stay when answers, keys and conversations go."""

    def add_many(self, calls: Sequence[ModelCall]) -> None:
        """Insert. The last thing that a unit does, and once: it holds the sums of their day until it ends."""
        ...

    def of_answer(self, answer_id: uuid.UUID) -> list[ModelCall]:
        """What an answer took, in order."""
        ...

    def spent(self, workspace_id: uuid.UUID, day: str) -> float:
        """US dollars of a workspace's calls on a day (as 2026-11-28, UTC); cheap enough to ask for every question."""
        ...

    def usage(
        self,
        workspace_id: uuid.UUID | None,
        *,
        since_day: str,
        until_day: str,
        by: frozenset[UsageBy],
        key_id: uuid.UUID | None = None,
        model: str | None = None,
        limit: int | None = None,
    ) -> list[UsageLine]:
        """Sums over the calls of both days and those between, in the order of day, model, key and workspace.

        Args:
            workspace_id: None for all workspaces.
            since_day: the first, as 2026-11-28, UTC.
            until_day: the last one.
            by: a line for each combination of these that was used; where it is empty, one line in all.
            key_id: only this key's; None for all, those without a key too.
            model: only this one's.
            limit: lines at most.
        """
        ...

    def prune(self, *, before_day: str, limit: int) -> int:
        """Forget earlier days: they are in no sum any more, and that many of their calls are deleted; gives how many."""
        ...


class Policies(Protocol):
    """Versions of policies; None of a collection's id stands for the workspace. No version ever changes."""

    def append(self, version: PolicyVersion) -> None:
        """Insert. Raises ConflictError where its number is taken."""
        ...

    def latest(self, workspace_id: uuid.UUID, collection_id: uuid.UUID | None) -> PolicyVersion | None:
        """The one in force."""
        ...

    def get(self, workspace_id: uuid.UUID, collection_id: uuid.UUID | None, number: int) -> PolicyVersion | None:
        """One by number."""
        ...

    def page(
        self, workspace_id: uuid.UUID, collection_id: uuid.UUID | None, *, before: int | None, limit: int
    ) -> list[PolicyVersion]:
        """Those with a smaller number than `before`, the greatest first."""
        ...

    def in_force(
        self, workspace_id: uuid.UUID, names: Sequence[str] | None, *, documents: Sequence[uuid.UUID] = ()
    ) -> list[tuple[PolicyVersion, str | None]]:
        """The latest of the workspace, and of each undeleted collection that has one, with the collection's name.

        Args:
            workspace_id: of all of them.
            names: of collections; None: all.
            documents: whose collections count too.
        """
        ...


class Templates(Protocol):
    """Versions of prompt templates. None ever changes."""

    def append(self, version: TemplateVersion) -> None:
        """Insert. Raises ConflictError where its number is taken."""
        ...

    def latest(self, workspace_id: uuid.UUID, name: str) -> TemplateVersion | None:
        """The one in force."""
        ...

    def get(self, workspace_id: uuid.UUID, name: str, number: int) -> TemplateVersion | None:
        """One by number."""
        ...

    def page(self, workspace_id: uuid.UUID, name: str, *, before: int | None, limit: int) -> list[TemplateVersion]:
        """Those with a smaller number than `before`, the greatest first."""
        ...

    def in_force(self, workspace_id: uuid.UUID) -> list[TemplateVersion]:
        """The latest of each name, by name."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unpurged:
    """What was deleted, and no job removes it."""

    workspace_id: uuid.UUID
    collection_id: uuid.UUID
    document_id: uuid.UUID | None  # None: the whole collection


class Contents(Protocol):
    """Originals and texts that are small, by their key of the file store."""

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Keep these; what stood under a key is replaced."""
        ...

    def read(self, key: str) -> bytes | None:
        """The content, or None."""
        ...

    def remove(self, keys: Sequence[str]) -> dict[str, int]:
        """Delete; gives the bytes of those that were there, by key."""
        ...

    def keys(self, prefix: str, *, after: str, limit: int) -> list[str]:
        """Keys that begin so, in order, behind one."""
        ...


class Audit(Protocol):
    """Where rows contradict each other, over all workspaces; and what earlier looks at all stores found."""

    def orphans(self) -> dict[str, int]:
        """Rows whose parent is gone, by table."""
        ...

    def remove_orphans(self) -> int:
        """Delete them, and what hangs on them; gives how many there were."""
        ...

    def live_wrong(self, *, limit: int) -> list[uuid.UUID]:
        """Documents whose live version is none, and those with another version that is marked live."""
        ...

    def live_hidden(self, *, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """(document id, version id) of live versions that a note hides from searches."""
        ...

    def stuck(self, *, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """(document id, version id) of pending versions that no unfinished item ingests."""
        ...

    def unpurged(self, *, limit: int) -> list[Unpurged]:
        """Deleted documents of collections that are not deleted, which no unfinished item purges."""
        ...

    def unpurged_collections(self, *, limit: int) -> list[Unpurged]:
        """Deleted collections that still hold documents, which no unfinished job purges."""
        ...

    def unsettled(self, *, limit: int) -> list[uuid.UUID]:
        """Jobs that have not ended though all their items have."""
        ...

    def conditions_wrong(self, *, after: uuid.UUID | None, limit: int) -> tuple[list[uuid.UUID], uuid.UUID | None]:
        """Of the next documents, those whose rows for conditions in SQL differ from what they say; and the last one looked
        at, None where there was none.
        """
        ...

    def rewrite_conditions(self, document_ids: Sequence[uuid.UUID]) -> None:
        """Write the rows for conditions of these documents anew."""
        ...

    def chunk_counts(self, version_ids: Sequence[uuid.UUID]) -> dict[tuple[uuid.UUID, uuid.UUID], int]:
        """Rows of chunks by (index id, version id)."""
        ...

    def chunks_left(self, *, limit: int) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """(document id, version id) of versions that answer no more, have chunks, and are noted as hidden nowhere."""
        ...

    def under_change(self, document_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Those documents that an unfinished item is at."""
        ...

    def live_page(self, *, after: uuid.UUID | None, limit: int) -> list[uuid.UUID]:
        """Undeleted documents that have a live version, in pages."""
        ...

    def versions_page(self, *, after: uuid.UUID | None, limit: int) -> list[uuid.UUID]:
        """Versions of undeleted documents, in pages."""
        ...

    def keep(self, report: DriftReport) -> None:
        """Insert a report; the last 100 are kept."""
        ...

    def last(self) -> DriftReport | None:
        """The newest report."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredReply:
    """What an Idempotency-Key was answered with."""

    fingerprint: str  # of the request: method, path and body
    status: int | None  # None while the first request is still under way
    body: str
    location: str | None
    created_at: dt.datetime


class Idempotency(Protocol):
    """Replies by Idempotency-Key, per workspace and API key."""

    def reserve(
        self, workspace_id: uuid.UUID, key_id: uuid.UUID, name: str, fingerprint: str, now: dt.datetime
    ) -> StoredReply | None:
        """Take the name; gives the reply stored under it if it was taken before."""
        ...

    def complete(
        self, workspace_id: uuid.UUID, key_id: uuid.UUID, name: str, *, status: int, body: str, location: str | None
    ) -> None:
        """Store the reply."""
        ...

    def release(self, workspace_id: uuid.UUID, key_id: uuid.UUID, name: str) -> None:
        """Forget a name whose request was not carried out."""
        ...

    def prune(self, created_before: dt.datetime) -> int:
        """Forget old ones."""
        ...


class ReadWork(Protocol):
    """One consistent view of the database."""

    @property
    def workspaces(self) -> Workspaces: ...  # noqa: D102 - the class says it
    @property
    def keys(self) -> Keys: ...  # noqa: D102
    @property
    def collections(self) -> Collections: ...  # noqa: D102
    @property
    def documents(self) -> Documents: ...  # noqa: D102
    @property
    def versions(self) -> Versions: ...  # noqa: D102
    @property
    def chunks(self) -> Chunks: ...  # noqa: D102
    @property
    def contents(self) -> Contents: ...  # noqa: D102
    @property
    def jobs(self) -> Jobs: ...  # noqa: D102
    @property
    def deletions(self) -> Deletions: ...  # noqa: D102
    @property
    def answers(self) -> Answers: ...  # noqa: D102
    @property
    def conversations(self) -> Conversations: ...  # noqa: D102
    @property
    def policies(self) -> Policies: ...  # noqa: D102
    @property
    def templates(self) -> Templates: ...  # noqa: D102
    @property
    def model_calls(self) -> ModelCalls: ...  # noqa: D102
    @property
    def audit(self) -> Audit: ...  # noqa: D102
    @property
    def idempotency(self) -> Idempotency: ...  # noqa: D102


class WriteWork(ReadWork, Protocol):
    """One transaction. Leaving its context without `commit` undoes it."""

    def commit(self) -> None:
        """Make it durable."""
        ...


class Database(Protocol):
    """Opens units of work. Raises TransientError where the database is busy past its timeout or can't be reached, and
    StorageFullError where the disk is full.
    """

    def read(self) -> contextlib.AbstractContextManager[ReadWork]:
        """A unit that only reads; it waits for no writer."""
        ...

    def write(self) -> contextlib.AbstractContextManager[WriteWork]:
        """A unit that may write; on SQLite it begins with BEGIN IMMEDIATE under one process-wide lock."""
        ...

    def truncate_log(self) -> bool:
        """Let no log of the database hold what was deleted; for outside of units. Waits for readers a moment only.

        False where one was in the way: call it again later.
        """
        ...

    def ping(self) -> None:
        """Raise where the database does not answer."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...
