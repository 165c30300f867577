"""Versions, and the notes on those that are hidden, in SQL."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from app.db.documents import SqlDocuments
from app.db.engine import upsert
from app.db.errors import conflict
from app.db.repository import Repository, Row, batches
from app.db.tables import document, hidden_version
from app.db.tables import version as table
from app.domain.access import meet
from app.domain.documents import Document, Version, VersionState
from app.domain.errors import NotFoundError
from app.domain.repositories import Hidden

_HIDDEN_IDS = (  # as every search asks: built once
    sa.select(hidden_version.c.version_id)
    .where(hidden_version.c.space == sa.bindparam("space"), hidden_version.c.swept_at.is_(None))
    .order_by(hidden_version.c.hidden_at.desc(), hidden_version.c.version_id.desc())
    .limit(sa.bindparam("most"))
)


class SqlVersions(Repository):
    """Implements `app.domain.repositories.Versions`, which says what each method promises."""

    def add(self, version: Version) -> None:
        """Insert."""
        self.add_many([version])

    def add_many(self, versions: Sequence[Version]) -> None:
        """Insert several."""
        rows = [
            {
                "id": version.id,
                "workspace_id": version.workspace_id,
                "document_id": version.document_id,
                "seq": version.seq,
                "filename": version.filename,
                "media_type": version.media_type,
                "sha256": version.sha256,
                "size_bytes": version.size_bytes,
                "loader": version.loader,
                "created_at": version.created_at,
                **_changeable(version),
            }
            for version in versions
        ]
        if rows:
            with conflict(f"the document has a version {versions[0].seq} already"):
                self.connection.execute(table.insert(), rows)

    def get(self, workspace_id: uuid.UUID, version_id: uuid.UUID) -> Version | None:
        """One by id."""
        query = sa.select(table).where(table.c.id == version_id, table.c.workspace_id == workspace_id)
        row = self.first(self.locked(query, table))
        return None if row is None else _version(row)

    def of_document(self, document_id: uuid.UUID) -> list[Version]:
        """All versions of a document, newest first."""
        return self.of_documents([document_id]).get(document_id, [])

    def of_documents(self, document_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Version]]:
        """The same of several, by document."""
        found: dict[uuid.UUID, list[Version]] = {}
        for some in batches(document_ids):
            query = (
                sa.select(table).where(table.c.document_id.in_(some)).order_by(table.c.document_id, table.c.seq.desc())
            )
            for row in self.connection.execute(self.locked(query, table)):
                found.setdefault(row.document_id, []).append(_version(row))
        return found

    def many(self, version_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Version]:
        """Several by id."""
        found: dict[uuid.UUID, Version] = {}
        for some in batches(version_ids):
            query = sa.select(table).where(table.c.id.in_(some)).order_by(table.c.id)
            found.update((row.id, _version(row)) for row in self.connection.execute(self.locked(query, table)))
        return found

    def update(self, version: Version) -> None:
        """Write state, title, metadata, readers, pages, text_chars, text_bytes, chunks, marks."""
        self.update_many([version])

    def update_many(self, versions: Sequence[Version]) -> None:
        """The same of several."""
        if self.write_each(table, [{"written": each.id, **_changeable(each)} for each in versions]) < len(versions):
            raise NotFoundError("the version is gone")

    def fail_pending(self, version_ids: Sequence[uuid.UUID]) -> None:
        """Those that are pending will not be ingested; what they had closed is open again."""
        for some in batches(version_ids):
            pending = sa.select(table.c.document_id).where(
                table.c.id.in_(some), table.c.state == VersionState.PENDING.value
            )
            owners = sorted({row.document_id for row in self.connection.execute(pending)})
            self.connection.execute(
                table.update()
                .where(table.c.id.in_(some), table.c.state == VersionState.PENDING.value)
                .values(state=VersionState.FAILED.value)
            )
            self._open_again(owners)

    def _open_again(self, document_ids: Sequence[uuid.UUID]) -> None:
        """Give documents the readers of their live version, narrowed by what is still under way."""
        documents = SqlDocuments(self.connection, writes=self.writes)
        owners = documents.many(document_ids)
        versions = self.of_documents(list(owners))
        changed: list[Document] = []
        for owner in owners.values():
            mine = versions.get(owner.id, [])
            readers = next((each.readers for each in mine if each.id == owner.live_version_id), None)
            if readers is None:
                continue
            for each in mine:
                if each.state is VersionState.PENDING:
                    readers = meet(readers, each.readers)
            if set(readers) != set(owner.readers):
                changed.append(dataclasses.replace(owner, readers=readers))
        if changed:
            documents.update_many(changed)

    def remove(self, version_id: uuid.UUID) -> None:
        """Delete a version's row; its chunks go by their foreign key."""
        owner = sa.select(table.c.document_id).where(table.c.id == version_id).scalar_subquery()
        self.connection.execute(
            document.update()
            .where(document.c.id == owner, document.c.live_version_id == version_id)
            .values(live_version_id=None)
        )
        self.connection.execute(table.delete().where(table.c.id == version_id))

    def hide(
        self, version_ids: Sequence[uuid.UUID], *, document_ids: Sequence[uuid.UUID], space: str, now: dt.datetime
    ) -> None:
        """Note that points of these may exist and must not be seen; `document_ids` are theirs, one each."""
        rows = [
            {"version_id": version_id, "document_id": document_id, "space": space, "hidden_at": now, "swept_at": None}
            for version_id, document_id in zip(version_ids, document_ids, strict=True)
        ]
        if not rows:
            return
        insert = upsert(self.connection, hidden_version)
        self.connection.execute(
            insert.on_conflict_do_update(
                index_elements=[hidden_version.c.version_id, hidden_version.c.space],
                set_={"hidden_at": insert.excluded.hidden_at, "swept_at": None},
            ),
            rows,
        )

    def unhide(self, version_ids: Sequence[uuid.UUID]) -> None:
        """These are live now."""
        for some in batches(version_ids):
            self.connection.execute(hidden_version.delete().where(hidden_version.c.version_id.in_(some)))

    def hidden_ids(self, space: str, *, limit: int) -> list[uuid.UUID]:
        """Hidden versions whose points have not been swept; newest first."""
        return list(self.connection.execute(_HIDDEN_IDS, {"space": space, "most": limit}).scalars())

    def hidden_for_sweep(self, *, swept_before: dt.datetime, limit: int) -> list[Hidden]:
        """Hidden versions that are not pending; those whose rows are gone are not."""
        due = sa.or_(hidden_version.c.swept_at.is_(None), hidden_version.c.swept_at < swept_before)
        settled = sa.or_(table.c.state.is_(None), table.c.state != VersionState.PENDING.value)
        query = (
            sa.select(hidden_version)
            .outerjoin(table, table.c.id == hidden_version.c.version_id)
            .where(due, settled)
            .order_by(hidden_version.c.hidden_at, hidden_version.c.version_id)
            .limit(limit)
        )
        return [_hidden(row) for row in self.connection.execute(query)]

    def hidden_of(self, version_ids: Sequence[uuid.UUID]) -> list[Hidden]:
        """The notes on these versions."""
        notes: list[Hidden] = []
        for some in batches(version_ids):
            query = sa.select(hidden_version).where(hidden_version.c.version_id.in_(some))
            notes += [_hidden(row) for row in self.connection.execute(query)]
        return notes

    def swept(self, notes: Sequence[Hidden], *, now: dt.datetime, forget: bool) -> None:
        """Points of these were removed."""
        for space in sorted({note.space for note in notes}):
            for some in batches([note.version_id for note in notes if note.space == space]):
                these = sa.and_(hidden_version.c.space == space, hidden_version.c.version_id.in_(some))
                if forget:
                    self.connection.execute(hidden_version.delete().where(these))
                else:
                    self.connection.execute(hidden_version.update().where(these).values(swept_at=now))


def _changeable(version: Version) -> dict[str, object]:
    return {
        "state": version.state.value,
        "title": version.title,
        "metadata": version.metadata,
        "readers": list(version.readers),
        "pages": version.pages,
        "text_chars": version.text_chars,
        "text_bytes": version.text_bytes,
        "chunks": version.chunks,
        "marks": list(version.marks) or None,
    }


def _version(row: Row) -> Version:
    return Version(
        id=row.id,
        workspace_id=row.workspace_id,
        document_id=row.document_id,
        seq=row.seq,
        state=VersionState(row.state),
        filename=row.filename,
        media_type=row.media_type,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        loader=row.loader,
        title=row.title,
        metadata=row.metadata,
        readers=tuple(row.readers),
        pages=row.pages,
        text_chars=row.text_chars,
        text_bytes=row.text_bytes,
        chunks=row.chunks,
        created_at=row.created_at,
        marks=tuple(row.marks or ()),
    )


def _hidden(row: Row) -> Hidden:
    return Hidden(version_id=row.version_id, document_id=row.document_id, space=row.space, swept_at=row.swept_at)
