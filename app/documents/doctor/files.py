"""Originals and texts against versions."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator, Sequence

from app.documents.doctor.page import Page
from app.domain.documents import Version, VersionState
from app.domain.drift import DriftKind, Finding
from app.domain.errors import FootnoteError, NotFoundError
from app.domain.ids import made_at
from app.domain.passages import Loaded
from app.domain.ports import FileStore
from app.domain.repositories import Database
from app.text import canonical

_PAGE = 500  # versions
_YOUNG = dt.timedelta(hours=1)  # a file that young may be of an upload whose row is not written yet
_KEY = re.compile(r"(?:originals|texts)/[0-9a-f]{2}/([0-9a-f]{32})", re.ASCII)
_BLOCK_BYTES = 1 << 20
_READ = (VersionState.LIVE, VersionState.SUPERSEDED)  # have a text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The part `files`."""

    database: Database
    files: FileStore
    read: Callable[[Version], Loaded | FootnoteError]
    started_at: dt.datetime
    deep: bool

    def pages(self) -> Iterator[Page]:
        """First versions without their files, then files without their version."""
        keys = set(self.files.keys())
        after: uuid.UUID | None = None
        while True:
            with self.database.read() as work:
                page = work.audit.versions_page(after=after, limit=_PAGE)
                versions = work.versions.many(page)
            if not page:
                break
            after = page[-1]
            findings = [each for version_id in page for each in self._lacking(versions[version_id], keys)]
            yield Page(looked_at=len(page), findings=findings)
        of_version = {key: uuid.UUID(hex=found[1]) for key in sorted(keys) if (found := _KEY.fullmatch(key))}
        old = {key: each for key, each in of_version.items() if made_at(each) < self.started_at - _YOUNG}
        names = list(old)
        for first in range(0, len(names), _PAGE):
            some = names[first : first + _PAGE]
            yield Page(looked_at=len(some), findings=self._orphaned(some, old))

    def _lacking(self, version: Version, keys: set[str]) -> Iterator[Finding]:
        if version.created_at >= self.started_at:
            return  # its files came after the list was made
        wanted = {version.original_key: (DriftKind.ORIGINAL_MISSING, DriftKind.ORIGINAL_DAMAGED, self._intact)}
        if version.state in _READ:
            wanted[version.text_key] = (DriftKind.TEXT_MISSING, DriftKind.TEXT_DAMAGED, self._consistent)
        for key, (missing, damaged, sound) in wanted.items():
            if key not in keys:
                if not self._there(key) and self._known(version):
                    yield _finding(missing, version, key, "is gone")
            elif self.deep and not sound(version) and self._known(version):
                yield _finding(damaged, version, key, "is not what was stored")

    def _there(self, key: str) -> bool:
        try:
            self.files.open(key).close()
        except NotFoundError:
            return False
        return True

    def _known(self, version: Version) -> bool:
        """Whether the version is still what it was: a purge takes the files before the row."""
        with self.database.read() as work:
            document = work.documents.many([version.document_id]).get(version.document_id)
            current = work.versions.many([version.id]).get(version.id)
        return document is not None and current is not None and current.state is version.state

    def _intact(self, version: Version) -> bool:
        """Whether the original has its checksum."""
        digest = hashlib.sha256()
        with contextlib.closing(self.files.open(version.original_key)) as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest() == version.sha256

    def _consistent(self, version: Version) -> bool:
        """Whether the text can be read and says what the chunks say."""
        text = self._text(version)
        return text is not None and self._agrees(version, text)

    def _text(self, version: Version) -> str | None:
        try:
            with contextlib.closing(self.files.open(version.text_key)) as stream:
                reader = canonical.TextReader(stream)
                return reader.slice(0, reader.chars)
        except (NotFoundError, canonical.CorruptTextError):
            return None

    def _agrees(self, version: Version, text: str) -> bool:
        if version.text_chars is not None and len(text) != version.text_chars:
            return False
        with self.database.read() as work:
            document = work.documents.many([version.document_id]).get(version.document_id)
            indexes = work.collections.indexes([document.collection_id]) if document else {}
            for index in indexes.get(document.collection_id, []) if document else []:
                first = 0
                while chunks := work.chunks.of_version(version.id, index.id, first=first, limit=_PAGE):
                    if any(text[each.start : each.end] != each.text for each in chunks):
                        return False
                    first = chunks[-1].ordinal + 1
        return True

    def _orphaned(self, keys: Sequence[str], of_version: dict[str, uuid.UUID]) -> list[Finding]:
        with self.database.read() as work:
            known = work.versions.many(sorted({of_version[key] for key in keys}))
        return [
            Finding(kind=DriftKind.FILE_ORPHANED, detail=f"{key} is of no version", version_id=of_version[key], key=key)
            for key in keys
            if of_version[key] not in known and self._there(key)
        ]

    def repair(self, finding: Finding) -> bool:
        """Mend it, if it still is so; False where the bytes are lost."""
        assert finding.version_id is not None  # noqa: S101 - for the type checker: every file is of a version
        assert finding.key is not None  # noqa: S101
        with self.database.read() as work:
            version = work.versions.many([finding.version_id]).get(finding.version_id)
        if finding.kind is DriftKind.FILE_ORPHANED:
            if version is None:
                self.files.delete([finding.key])
            return True
        if version is None:
            return True  # purged meanwhile
        if finding.kind in (DriftKind.ORIGINAL_MISSING, DriftKind.ORIGINAL_DAMAGED):
            return self._restore_original(version)
        return self._restore_text(version)

    def _restore_original(self, version: Version) -> bool:
        """From the text, where that is all that the original was."""
        text = self._text(version)
        content = text.encode() if text is not None else b""
        if hashlib.sha256(content).hexdigest() != version.sha256:
            return False
        self.files.write_many({version.original_key: content})
        return True

    def _restore_text(self, version: Version) -> bool:
        """From the original, where it is still read as it was."""
        loaded = self.read(version)
        if isinstance(loaded, FootnoteError) or not self._agrees(version, loaded.text):
            return False
        self.files.write_many({version.text_key: canonical.pack(loaded.text, loaded.pages)})
        return True


def _finding(kind: DriftKind, version: Version, key: str, what: str) -> Finding:
    live = version.state is VersionState.LIVE
    advice = "upload the document again" if live else "nothing helps: it is of a replaced version, and goes with that"
    return Finding(
        kind=kind,
        detail=f"{key} ({version.filename}) {what}; where it can't be restored, {advice}",
        document_id=version.document_id,
        version_id=version.id,
        key=key,
    )
