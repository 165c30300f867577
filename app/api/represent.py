"""The product's things as JSON, in the shapes of `schemas`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from app.answering.compare import Comparison
from app.answering.events import Answered, Said, Sources
from app.answering.guard import Checked
from app.answering.search import Explanation, SearchHit, SearchResult
from app.documents.add import Accepted
from app.documents.archive.importing import Imported
from app.documents.archive.merging import Fate
from app.documents.catalogue import Slice
from app.documents.doctor import Event, Looked
from app.documents.reindex import Estimate, IndexState
from app.domain.access import Key, Workspace
from app.domain.answers import Answer, AnswerSentence, AnswerStatus, Candidate, Citation, Notice
from app.domain.conversations import Conversation, Removal
from app.domain.documents import Chunk, Collection, Deletion, Document, Version, VersionState
from app.domain.drift import Finding
from app.domain.jobs import Failure, Item, Job, JobKind, Waiting, Warning_
from app.domain.models import Message, UsageBy, UsageLine
from app.domain.policies import DEFAULTS, InForce, Policy, PolicyVersion, TemplateVersion
from app.gateway.books import UsageReport

Json = dict[str, Any]


def moment(value: dt.datetime) -> str:
    """A time as RFC 3339 in UTC."""
    return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _moment(value: dt.datetime | None) -> str | None:
    return None if value is None else moment(value)


def _id(value: uuid.UUID | None) -> str | None:
    return None if value is None else str(value)


def imported(each: Imported) -> Json:
    """How far an import has come."""
    return {
        "collection": each.collection,
        "created": each.created,
        "documents": each.documents,
        "done": each.done,
        **{fate.value: each.counts[fate] for fate in Fate},
        "as_they_are": each.as_they_are,
        "job_ids": [str(job_id) for job_id in each.job_ids],
    }


def collection(each: Collection, documents: int) -> Json:
    """A collection with its number of documents."""
    return {
        "id": str(each.id),
        "name": each.name,
        "description": each.description,
        "documents": documents,
        "created_at": moment(each.created_at),
        "updated_at": moment(each.updated_at),
    }


def drift(event: Event) -> tuple[str, Json]:
    """An event of a look for drift, with its name."""
    if isinstance(event, Looked):
        return "looked", {"part": event.part, "looked_at": event.looked_at}
    if isinstance(event, Finding):
        ids = ("document_id", "version_id", "index_id", "job_id", "collection_id")
        return "finding", {
            "kind": event.kind.value,
            "detail": event.detail,
            **{name: str(value) for name in ids if (value := getattr(event, name)) is not None},
            **({"key": event.key} if event.key is not None else {}),
            "count": event.count,
            "repaired": event.repaired,
        }
    return "report", {
        "started_at": moment(event.started_at),
        "finished_at": moment(event.finished_at),
        "found": {kind.value: count for kind, count in event.found.items()},
        "repaired": {kind.value: count for kind, count in event.repaired.items()},
        "left": event.left,
    }


def index(each: IndexState) -> Json:
    """One index of a collection."""
    return {
        "id": str(each.index.id),
        "role": each.role.value,
        "fingerprints": dataclasses.asdict(each.index.fingerprints),
        "dimensions": each.index.dimensions,
        "versions": each.versions,
        "chunks": each.chunks,
        "missing": each.missing,
        "created_at": moment(each.index.created_at),
    }


def estimate(each: Estimate) -> Json:
    """What building a new index would take."""
    return dataclasses.asdict(each)


def comparisons(found: Sequence[Comparison]) -> Json:
    """Both results for each question."""
    return {
        "shared": round(sum(each.shared for each in found) / len(found), 4),
        "data": [
            {
                "query": each.query,
                "shared": round(each.shared, 4),
                "live": [_hit(one, explain=False) for one in each.live],
                "other": [_hit(one, explain=False) for one in each.other],
            }
            for each in found
        ],
    }


def document(each: Document, *, collection_name: str, state: VersionState, version: Version | None) -> Json:
    """A document; `version` is the one that speaks for it."""
    return {
        "id": str(each.id),
        "external_id": each.external_id,
        "title": each.title,
        "collection": collection_name,
        "media_type": version.media_type if version else None,
        "size_bytes": version.size_bytes if version else None,
        "metadata": each.metadata,
        "readers": list(each.readers),
        "live_version_id": _id(each.live_version_id),
        "state": state.value,
        "created_at": moment(each.created_at),
        "updated_at": moment(each.updated_at),
    }


def version(each: Version) -> Json:
    """A version."""
    return {
        "id": str(each.id),
        "seq": each.seq,
        "sha256": each.sha256,
        "size_bytes": each.size_bytes,
        "pages": each.pages,
        "chunks": each.chunks,
        "marks": list(each.marks),
        "state": each.state.value,
        "created_at": moment(each.created_at),
    }


def text(piece: Slice) -> Json:
    """A piece of a text."""
    return {
        "version_id": str(piece.version_id),
        "text": piece.text,
        "start": piece.start,
        "end": piece.end,
        "total_chars": piece.total_chars,
        "pages": [{"page": each.number, "start": each.start, "end": each.end} for each in piece.pages],
    }


def chunk(each: Chunk) -> Json:
    """A passage."""
    return {
        "id": str(each.id),
        "version_id": str(each.version_id),
        "ordinal": each.ordinal,
        "page": each.page,
        "start": each.start,
        "end": each.end,
        "headings": list(each.headings),
        "text": each.text,
    }


def deletion(each: Deletion) -> Json:
    """A receipt."""
    return {
        "document_id": str(each.document_id),
        "job_id": _id(each.job_id),
        "requested_at": moment(each.requested_at),
        "finished_at": _moment(each.finished_at),
        "rows": each.rows,
        "chunks": each.chunks,
        "vectors": each.vectors,
        "bytes": each.bytes,
        "bytes_reclaimed": each.bytes_reclaimed,
    }


def accepted(each: Accepted) -> Json:
    """What became of an upload."""
    return {
        "document_id": str(each.document.id),
        "version_id": str(each.version.id),
        "job_id": _id(each.job.id if each.job else None),
        "state": each.version.state.value,
        "outcome": each.outcome.value,
    }


def job(
    each: Job,
    *,
    collection_name: str | None,
    waiting: Waiting | None = None,
    stage: tuple[str | None, int, int | None] = (None, 0, None),
) -> Json:
    """A job; `stage` is that of its only item, with units done and in all."""
    name, units_done, units_total = stage
    if each.kind is JobKind.INGEST and name is not None:
        progress: Json = {"done": units_done, "failed": 0, "total": units_total, "unit": "chunks"}
    else:
        progress = {"done": each.done, "failed": each.failed, "total": each.total, "unit": "documents"}
    return {
        "id": str(each.id),
        "kind": each.kind.value,
        "state": each.state.value,
        "stage": name,
        "progress": progress,
        "retry_of": _id(each.retry_of),
        "queue_position": waiting.position if waiting else None,
        "estimated_start_seconds": waiting.seconds if waiting else None,
        "document_id": _id(each.document_id),
        "collection": collection_name,
        "created_at": moment(each.created_at),
        "started_at": _moment(each.started_at),
        "finished_at": _moment(each.finished_at),
        "warnings": _warnings(each.warnings),
        "error": _failure(each.error),
    }


def item(each: Item) -> Json:
    """One document of a job."""
    unit = "documents" if each.kind in (JobKind.PURGE, JobKind.REFRESH) else "chunks"
    return {
        "id": str(each.id),
        "line": each.ordinal + 1,
        "document_id": _id(each.document_id),
        "version_id": _id(each.version_id),
        "state": each.state.value,
        "stage": each.stage.value,
        "progress": {"done": each.units_done, "failed": 0, "total": each.units_total, "unit": unit},
        "failures": each.failures,
        "warnings": _warnings(each.warnings),
        "error": _failure(each.error),
    }


def _warnings(warnings: Sequence[Warning_]) -> list[Json]:
    return [{"code": each.code, "message": each.message, "page": each.page} for each in warnings]


def _failure(failure: Failure | None) -> Json | None:
    if failure is None:
        return None
    return {"code": failure.code, "message": failure.message, "retryable": failure.retryable}


def key(each: Key) -> Json:
    """A key without its secret, which nobody knows."""
    return {
        "id": str(each.id),
        "name": each.name,
        "prefix": each.prefix,
        "role": each.role.value,
        "user": each.user,
        "groups": list(each.groups),
        "created_at": moment(each.created_at),
        "expires_at": _moment(each.expires_at),
        "revoked_at": _moment(each.revoked_at),
    }


def workspace(each: Workspace) -> Json:
    """A workspace."""
    return {"id": str(each.id), "name": each.name, "created_at": moment(each.created_at)}


def search(result: SearchResult, *, explain: bool) -> Json:
    """Hits, and how they were found where that was asked."""
    body: Json = {"hits": [_hit(each, explain=explain) for each in result.hits]}
    if explain:
        body["explanation"] = _explanation(result.explanation)
        body["timings_ms"] = dict(result.timings_ms)
    return body


def _hit(found: SearchHit, *, explain: bool) -> Json:
    passage, parent = found.hit.chunk, found.hit.document
    shown: Json = {
        "chunk_id": str(found.hit.chunk_id),
        "document_id": str(parent.id),
        "external_id": parent.external_id,
        "version_id": str(passage.version_id),
        "title": parent.title,
        "text": passage.text,
        "score": found.fused.score,
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "headings": list(passage.headings),
    }
    if explain:
        shown["explain"] = {
            "dense_rank": found.fused.dense_rank,
            "dense_score": found.fused.dense_score,
            "sparse_rank": found.fused.sparse_rank,
            "sparse_score": found.fused.sparse_score,
        }
    return shown


def sources(event: Sources) -> Json:
    """The evidence that an answer is made of."""
    return {"hits": [_hit(each, explain=False) for each in event.hits]}


def said(each: Said) -> Json:
    """A verified sentence, with the whole citations that it names."""
    return _sentence(each.sentence) | {"footnotes": [_citation(citation) for citation in each.citations]}


def answered(event: Answered, *, explain: bool) -> Json:
    """An answer as it is given first."""
    body = answer(event.answer)
    if event.answer.status is AnswerStatus.NO_ANSWER:
        body["nearest"] = [_hit(each, explain=False) for each in event.nearest]
    if explain:
        body["candidates"] = [_candidate(each) for each in event.candidates]
    return body


def answer(each: Answer) -> Json:
    """An answer as it is read back."""
    structured = each.trace.request.get("response_schema") is not None
    return {
        "id": str(each.id),
        "status": each.status.value,
        "question": each.question,
        "standalone_question": each.standalone,
        "text": each.text,
        "sentences": [_sentence(sentence) for sentence in each.sentences],
        "citations": [_citation(citation) for citation in each.citations],
        "confidence": round(each.confidence, 4),
        "model": each.model,
        "route": each.route,
        "degraded": each.degraded,
        "conversation_id": None if each.conversation_id is None else str(each.conversation_id),
        "route_reason": each.trace.reason,
        "template": each.trace.template,
        "policy": each.trace.policy,
        "evidence": [
            {
                "document_id": str(passage.document_id),
                "version_id": str(passage.version_id),
                "chunk_id": str(passage.chunk_id),
                "score": passage.score,
            }
            for passage in each.trace.evidence
        ],
        "attempts": [dataclasses.asdict(attempt) for attempt in each.trace.attempts],
        "replay_of": _id(each.trace.replay_of),
        "usage": {
            "prompt_tokens": each.trace.prompt_tokens,
            "completion_tokens": each.trace.completion_tokens,
            "cost_usd": each.trace.cost_usd,
        },
        "timings_ms": dict(each.timings_ms),
        "warnings": [_notice(notice) for notice in each.warnings],
        "created_at": moment(each.created_at),
        **(_structured(each) if structured else {}),
    }


def _structured(each: Answer) -> Json:
    return {"output": each.trace.output, "fields": [dataclasses.asdict(field) for field in each.trace.fields]}


def replayed(original: Answer, event: Answered) -> Json:
    """An answer and what it is now, side by side."""
    return {
        "original": answer(original),
        "replay": answered(event, explain=False),
        "same_text": original.text == event.answer.text,
        "same_evidence": [each.chunk_id for each in original.trace.evidence]
        == [each.chunk_id for each in event.answer.trace.evidence],
    }


def conversation(each: Conversation) -> Json:
    """A conversation without its turns."""
    return {
        "id": str(each.id),
        "title": each.title,
        "created_at": moment(each.created_at),
        "updated_at": moment(each.updated_at),
    }


def removal(each: Removal) -> Json:
    """The receipt of a conversation's deletion."""
    return {
        "conversation_id": str(each.conversation_id),
        "answers": each.answers,
        "summaries": each.summaries,
        "deleted_at": moment(each.deleted_at),
    }


def usage(report: UsageReport) -> Json:
    """What was used; each line with the things that it is told by."""
    return {
        "from": report.since.isoformat(),
        "to": report.until.isoformat(),
        "total": _used(report.total),
        "data": [_told_by(each, report.by) | _used(each) for each in report.lines],
    }


def _told_by(line: UsageLine, by: frozenset[UsageBy]) -> Json:
    shown: Json = {
        UsageBy.DAY: line.day,
        UsageBy.MODEL: line.model,
        UsageBy.KEY: _id(line.key_id),
        UsageBy.WORKSPACE: _id(line.workspace_id),
    }
    names = {UsageBy.KEY: "key_id", UsageBy.WORKSPACE: "workspace_id"}
    return {names.get(each, each.value): shown[each] for each in UsageBy if each in by}


def _used(line: UsageLine) -> Json:
    return {
        "calls": line.calls,
        "failures": line.failures,
        "prompt_tokens": line.usage.prompt_tokens,
        "completion_tokens": line.usage.completion_tokens,
        "cached_tokens": line.usage.cached_tokens,
        "cost_usd": round(line.cost_usd, 8),  # sums of floats end in noise
    }


def policy_version(each: PolicyVersion | None, warnings: Sequence[str]) -> Json:
    """A version of a policy; None: none was set."""
    return {
        "number": 0 if each is None else each.number,
        "policy": _policy(DEFAULTS if each is None else each.policy),
        "note": "" if each is None else each.note,
        "created_at": None if each is None else moment(each.created_at),
        "key_id": None if each is None else _id(each.key_id),
        "warnings": list(warnings),
    }


def template(each: TemplateVersion) -> Json:
    """A version of a template."""
    return {
        "name": each.name,
        "number": each.number,
        "system": each.system,
        "user": each.user,
        "note": each.note,
        "created_at": moment(each.created_at),
        "key_id": _id(each.key_id),
    }


def preview(held: InForce, checked: Checked, messages: Sequence[Message], warnings: Sequence[str]) -> Json:
    """What would hold for a question, and what a model would be asked."""
    return {
        "policy": _policy(held.policy),
        "label": held.label,
        "template": held.template.label,
        "refusal": None if checked.refusal is None else _notice(checked.refusal),
        "notices": [_notice(each) for each in checked.notices],
        "messages": [{"role": each.role, "text": each.text} for each in messages],
        "warnings": list(warnings),
    }


def _policy(each: Policy) -> Json:
    return dataclasses.asdict(each)  # its states are strings


def _notice(each: Notice) -> Json:
    return {"code": each.code, "message": each.message}


def _sentence(each: AnswerSentence) -> Json:
    return {
        "text": each.text,
        "start": each.start,
        "end": each.end,
        "citations": list(each.citations),
        "support": round(each.support, 4),
    }


def _citation(each: Citation) -> Json:
    return {
        "n": each.n,
        "document_id": str(each.document_id),
        "external_id": each.external_id,
        "version_id": str(each.version_id),
        "title": each.title,
        "chunk_id": str(each.chunk_id),
        "page": each.page,
        "start": each.start,
        "end": each.end,
        "quote": each.quote,
        "verified": True,
        "score": round(each.score, 4),
    }


def _candidate(each: Candidate) -> Json:
    return {
        "text": each.text,
        "document_id": str(each.passage.document_id),
        "external_id": each.passage.external_id,
        "version_id": str(each.passage.version_id),
        "page": each.passage.page,
        "start": each.start,
        "end": each.end,
        "score": round(each.score, 4),
    }


def _explanation(each: Explanation) -> Json:
    return {
        "mode": each.mode.value,
        "depth": each.depth,
        "dense_found": each.dense_found,
        "sparse_found": each.sparse_found,
        "refills": each.refills,
        "excluded_versions": each.excluded_versions,
        "removed": {reason.value: count for reason, count in each.removed.items()},
    }
