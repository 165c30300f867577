"""Answers in SQL."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.db.repository import Repository, Row, batches, behind
from app.db.tables import answer as table
from app.db.tables import answer_citation, answer_leaning, document
from app.domain.answers import (
    Answer,
    AnswerSentence,
    AnswerStatus,
    Attempt,
    Citation,
    Evidenced,
    FieldCitation,
    Notice,
    Trace,
    text_of,
)

_FORGOTTEN = Notice(code="sources_deleted", message="a document that this answer stood on was deleted")


class SqlAnswers(Repository):
    """Implements `app.domain.repositories.Answers`, which says what each method promises."""

    def add(self, answer: Answer) -> None:
        """Insert."""
        self.connection.execute(
            table.insert().values(
                id=answer.id,
                workspace_id=answer.workspace_id,
                key_id=answer.key_id,
                user_name=answer.user,
                conversation_id=answer.conversation_id,
                question=answer.question,
                standalone=answer.standalone,
                status=answer.status.value,
                text=answer.text,
                sentences=_sentence_rows(answer.sentences),
                confidence=answer.confidence,
                route=answer.route,
                model=answer.model,
                degraded=answer.degraded,
                timings_ms=dict(answer.timings_ms),
                usage={
                    "prompt_tokens": answer.trace.prompt_tokens,
                    "completion_tokens": answer.trace.completion_tokens,
                    "cost_usd": answer.trace.cost_usd,
                },
                trace=_trace_row(answer.trace),
                warnings=_notice_rows(answer.warnings),
                created_at=answer.created_at,
            )
        )
        if answer.citations:
            rows = [_citation_row(answer.id, each) for each in answer.citations]
            self.connection.execute(answer_citation.insert(), rows)
        if answer.leant_on:
            leanings = [{"answer_id": answer.id, "document_id": each} for each in sorted(answer.leant_on)]
            self.connection.execute(answer_leaning.insert(), leanings)

    def get(self, workspace_id: uuid.UUID, answer_id: uuid.UUID) -> Answer | None:
        """One by id, with every citation."""
        row = self.first(sa.select(table).where(table.c.id == answer_id, table.c.workspace_id == workspace_id))
        return None if row is None else self._whole([row])[0]

    def of_conversation(self, conversation_id: uuid.UUID, *, after: uuid.UUID | None, limit: int) -> list[Answer]:
        """A conversation's, in pages."""
        there = table.c.conversation_id == conversation_id
        query = sa.select(table).where(there, behind(table.c.id, after)).order_by(table.c.id).limit(limit)
        return self._whole(self.connection.execute(query).all())

    def last_of_conversation(self, conversation_id: uuid.UUID, *, limit: int) -> list[Answer]:
        """The last ones of a conversation, in order."""
        there = table.c.conversation_id == conversation_id
        query = sa.select(table).where(there).order_by(table.c.id.desc()).limit(limit)
        return self._whole(self.connection.execute(query).all()[::-1])

    def _whole(self, rows: Sequence[Row]) -> list[Answer]:
        """The answers of these rows, with their citations."""
        citations: dict[uuid.UUID, list[Citation]] = {row.id: [] for row in rows}
        for some in batches(list(citations)):
            query = (
                sa.select(answer_citation, document.c.external_id, document.c.title)
                .join(document, document.c.id == answer_citation.c.document_id)
                .where(answer_citation.c.answer_id.in_(some))
                .order_by(answer_citation.c.answer_id, answer_citation.c.n)
            )
            for each in self.connection.execute(query):
                citations[each.answer_id].append(_citation(each))
        leanings: dict[uuid.UUID, list[uuid.UUID]] = {}
        for some in batches([row.id for row in rows]):
            there = sa.select(answer_leaning).where(answer_leaning.c.answer_id.in_(some))
            for each in self.connection.execute(there.order_by(answer_leaning.c.document_id)):
                leanings.setdefault(each.answer_id, []).append(each.document_id)
        return [_answer(row, citations[row.id], leanings.get(row.id, ())) for row in rows]

    def forget(self, document_ids: Sequence[uuid.UUID]) -> int:
        """Take out of every answer what it has of these documents."""
        numbers: dict[uuid.UUID, set[int]] = {}
        for some in batches(document_ids):
            cited = answer_citation.c.document_id.in_(some)
            query = sa.select(answer_citation.c.answer_id, answer_citation.c.n).where(cited)
            for row in self.connection.execute(query):
                numbers.setdefault(row.answer_id, set()).add(row.n)
            self.connection.execute(answer_citation.delete().where(cited))
            leant = answer_leaning.c.document_id.in_(some)
            leaning = set(self.connection.execute(sa.select(answer_leaning.c.answer_id).where(leant)).scalars())
            self._forget_leanings(sorted(leaning))
            self.connection.execute(answer_leaning.delete().where(leant))
        for answer_ids in batches(sorted(numbers)):
            query = sa.select(table.c.id, table.c.sentences, table.c.warnings, table.c.trace).where(
                table.c.id.in_(answer_ids)
            )
            rows = [_without(row, numbers[row.id]) for row in self.connection.execute(self.locked(query, table))]
            self.write_each(table, rows)
        return len(numbers)

    def _forget_leanings(self, answer_ids: Sequence[uuid.UUID]) -> None:
        """Take out what carries no citation and may come from a document that is gone."""
        for some in batches(answer_ids):
            query = sa.select(table.c.id, table.c.sentences, table.c.warnings, table.c.trace).where(
                table.c.id.in_(some)
            )
            rows = [
                {"written": row.id, "standalone": None, **_without_uncited(row)}
                for row in self.connection.execute(self.locked(query, table))
            ]
            self.write_each(table, rows)

    def prune(self, *, created_before: dt.datetime, limit: int) -> int:
        """Delete answers that old."""
        old = sa.select(table.c.id).where(table.c.created_at < created_before).order_by(table.c.id).limit(limit)
        return self.connection.execute(table.delete().where(table.c.id.in_(old.scalar_subquery()))).rowcount


def _without(row: Row, numbers: set[int]) -> dict[str, object]:
    """The columns of an answer that change when it loses these citations."""
    kept = [each for each in _sentences(row.sentences) if numbers.isdisjoint(each.citations)]
    text, sentences = text_of(kept)
    warnings = _notices(row.warnings)
    if _FORGOTTEN not in warnings:
        warnings = (*warnings, _FORGOTTEN)
    return {
        "written": row.id,
        "text": text,
        "sentences": _sentence_rows(sentences),
        "warnings": _notice_rows(warnings),
        "trace": row.trace and {**row.trace, "output": None, "fields": []},
    }


def _without_uncited(row: Row) -> dict[str, object]:
    """The columns of an answer without sentences that carry no citation, and without structured output."""
    text, sentences = text_of([each for each in _sentences(row.sentences) if each.citations])
    return {
        "text": text,
        "sentences": _sentence_rows(sentences),
        "trace": row.trace and {**row.trace, "output": None, "fields": []},
    }


def _answer(row: Row, citations: Iterable[Citation], leant_on: Iterable[uuid.UUID]) -> Answer:
    return Answer(
        id=row.id,
        workspace_id=row.workspace_id,
        key_id=row.key_id,
        user=row.user_name,
        question=row.question,
        conversation_id=row.conversation_id,
        standalone=row.standalone,
        leant_on=tuple(leant_on),
        status=AnswerStatus(row.status),
        text=row.text,
        sentences=_sentences(row.sentences),
        citations=tuple(citations),
        confidence=row.confidence,
        route=row.route,
        model=row.model,
        degraded=row.degraded,
        timings_ms=row.timings_ms,
        warnings=_notices(row.warnings),
        created_at=row.created_at,
        trace=_trace(row.trace, row.usage),
    )


def _trace_row(trace: Trace) -> dict[str, object]:
    return {
        "reason": trace.reason,
        "template": trace.template,
        "policy": trace.policy,
        "evidence": [
            {
                "document_id": str(each.document_id),
                "version_id": str(each.version_id),
                "chunk_id": str(each.chunk_id),
                "score": each.score,
            }
            for each in trace.evidence
        ],
        "attempts": [dataclasses.asdict(each) for each in trace.attempts],
        "output": trace.output,
        "fields": [dataclasses.asdict(each) for each in trace.fields],
        "request": dict(trace.request),
        "replay_of": None if trace.replay_of is None else str(trace.replay_of),
    }


def _trace(row: Mapping[str, Any] | None, usage: Mapping[str, Any]) -> Trace:
    if row is None:
        return Trace()
    return Trace(
        reason=row["reason"],
        template=row["template"],
        policy=row["policy"],
        evidence=tuple(
            Evidenced(
                document_id=uuid.UUID(each["document_id"]),
                version_id=uuid.UUID(each["version_id"]),
                chunk_id=uuid.UUID(each["chunk_id"]),
                score=each["score"],
            )
            for each in row["evidence"]
        ),
        attempts=tuple(Attempt(**each) for each in row["attempts"]),
        prompt_tokens=usage.get("prompt_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
        cost_usd=usage.get("cost_usd", 0.0),
        output=row["output"],
        fields=tuple(FieldCitation(**{**each, "citations": tuple(each["citations"])}) for each in row["fields"]),
        request=row["request"],
        replay_of=None if row["replay_of"] is None else uuid.UUID(row["replay_of"]),
    )


def _citation(row: Row) -> Citation:
    return Citation(
        n=row.n,
        document_id=row.document_id,
        version_id=row.version_id,
        chunk_id=row.chunk_id,
        external_id=row.external_id,
        title=row.title,
        page=row.page,
        start=row.start,
        end=row.end,
        quote=row.quote,
        score=row.score,
    )


def _citation_row(answer_id: uuid.UUID, citation: Citation) -> dict[str, object]:
    return {
        "answer_id": answer_id,
        "n": citation.n,
        "document_id": citation.document_id,
        "version_id": citation.version_id,
        "chunk_id": citation.chunk_id,
        "start": citation.start,
        "end": citation.end,
        "page": citation.page,
        "quote": citation.quote,
        "score": citation.score,
    }


def _sentences(rows: Iterable[Mapping[str, Any]]) -> tuple[AnswerSentence, ...]:
    return tuple(AnswerSentence(**{**row, "citations": tuple(row["citations"])}) for row in rows)


def _sentence_rows(sentences: Iterable[AnswerSentence]) -> list[dict[str, object]]:
    return [
        {
            "text": each.text,
            "start": each.start,
            "end": each.end,
            "citations": list(each.citations),
            "support": each.support,
        }
        for each in sentences
    ]


def _notices(rows: Iterable[Mapping[str, str]]) -> tuple[Notice, ...]:
    return tuple(Notice(code=row["code"], message=row["message"]) for row in rows)


def _notice_rows(notices: Iterable[Notice]) -> list[dict[str, str]]:
    return [{"code": each.code, "message": each.message} for each in notices]
