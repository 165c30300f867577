"""Read an archive where it lies, and see to it that it is whole before anything is made of it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pathlib
import tarfile
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import BinaryIO, Self, cast

from app.documents.archive import form
from app.documents.archive.form import ArchiveError, Manifest, Place, Record
from app.domain.vectors import Encoded
from app.text.canonical import CorruptTextError, TextReader

_READ_BYTES = 1 << 20
_MOST_BYTES = 256 << 20  # of a member that is read into memory


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Where a member's content lies."""

    name: str
    offset: int
    size: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some chunks of a batch with their vectors."""

    chunks: Member
    vectors: Member


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Some documents of an archive."""

    number: int
    first: int  # documents of the archive before these
    records: tuple[Record, ...]
    originals: tuple[Member, ...]  # one a record
    texts: tuple[Member, ...]  # one a record
    pieces: tuple[Piece, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was found in an archive that is whole."""

    digest: str  # SHA-256, hexadecimal, that stands for all of it
    documents: int
    chunks: int


class Archive:
    """An open archive. Not for two threads at once."""

    def __init__(self, path: pathlib.Path) -> None:
        """Open it and read its manifest.

        Raises:
            NewerArchiveError: a newer version of Footnote wrote it.
            ArchiveError: this is no archive.
        """
        self._stream = path.open("rb")
        try:
            self._size = os.fstat(self._stream.fileno()).st_size
            self.first: Member = self._first()
            self.manifest: Manifest = form.manifest_of(self.read(self.first))
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def verify(self, *, stop: Callable[[], None] = lambda: None) -> Contents:
        """Read all of it, and hold every part to its checksum and its form.

        Args:
            stop: called now and then; raises to give up.

        Raises:
            ArchiveError: it is cut off or altered; the message names the member.
        """
        expected = {form.MANIFEST: self._digest(self.first)}
        documents = chunks = 0
        walk = _Walk(self)
        for batch in walk:
            stop()
            sums, _ = form.checksums_of(self.read(walk.checksums), walk.checksums.name)
            found = {member.name: self._digest(member) for member in walk.members}
            _require_same(found, sums)
            expected[walk.checksums.name] = self._digest(walk.checksums)
            for record, original in zip(batch.records, batch.originals, strict=True):
                if record.sha256 != found[original.name]:
                    raise ArchiveError(f"the archive is damaged: {original.name} is not the document's original")
            chunks += self._verify_chunks(batch)
            documents += len(batch.records)
        sums, said = form.checksums_of(self.read(walk.last), walk.last.name)
        _require_same(expected, sums)
        if (said.get("documents"), said.get("chunks")) != (documents, chunks):
            raise ArchiveError("the archive is damaged: its counts are not what it holds")
        return Contents(digest=self._digest(walk.last), documents=documents, chunks=chunks)

    def batches(self) -> Iterator[Batch]:
        """The documents, some at a time; only what is asked for is read."""
        yield from _Walk(self)

    def read(self, member: Member) -> bytes:
        """A small member's content."""
        if member.size > _MOST_BYTES:
            raise ArchiveError(f"the archive's {member.name} has an impossible size")
        return os.pread(self._stream.fileno(), member.size, member.offset)

    def stream(self, member: Member) -> BinaryIO:
        """A member's content as a seekable stream."""
        return cast("BinaryIO", io.BufferedReader(_View(self._stream.fileno(), member)))

    def places(self, piece: Piece) -> list[Place]:
        """The chunks of a piece."""
        return form.places_of(self.read(piece.chunks))

    def vectors(self, piece: Piece) -> Encoded:
        """Their vectors."""
        return form.unpacked_vectors(self.read(piece.vectors), self.manifest.dimensions)

    def blocks(self, member: Member) -> Iterator[bytes]:
        """A member's content, block by block."""
        with self.stream(member) as stream:
            while block := stream.read(_READ_BYTES):
                yield block

    def _digest(self, member: Member) -> str:
        digest = hashlib.sha256()
        for block in self.blocks(member):
            digest.update(block)
        if any(os.pread(self._stream.fileno(), form.padding(member.size), member.offset + member.size)):
            raise ArchiveError(f"the archive is damaged behind {member.name}")
        return digest.hexdigest()

    def _verify_chunks(self, batch: Batch) -> int:
        """Every chunk lies within its text, in order, and has its vectors; gives their number."""
        for record, text in zip(batch.records, batch.texts, strict=True):
            try:
                with self.stream(text) as stream:
                    chars = TextReader(stream).chars
            except CorruptTextError as error:
                raise ArchiveError(f"the archive's {text.name} is no text: {error.message}") from error
            if chars != record.text_chars:
                raise ArchiveError(f"the archive's {text.name} has another length than its document says")
        counts = [0] * len(batch.records)
        for piece in batch.pieces:
            places = self.places(piece)
            if len(places) != len(self.vectors(piece).sparse):
                raise ArchiveError(f"the archive's {piece.vectors.name} does not fit its chunks")
            for place in places:
                if place.document >= len(counts) or place.ordinal != counts[place.document]:
                    raise ArchiveError(f"the archive's {piece.chunks.name} has a chunk that does not come next")
                if not place.start < place.end <= batch.records[place.document].text_chars:
                    raise ArchiveError(f"the archive's {piece.chunks.name} has a chunk outside its text")
                counts[place.document] += 1
        if counts != [record.chunks for record in batch.records]:
            raise ArchiveError(f"batch {batch.number} of the archive lacks chunks")
        return sum(counts)

    def member_after(self, member: Member) -> Member | None:
        """The next member; None at the archive's end."""
        return self._member(member.offset + member.size + form.padding(member.size))

    def _first(self) -> Member:
        found = self._member(0)
        if found is None or found.name != form.MANIFEST:
            raise ArchiveError("this is no archive of a collection: `footnote export` writes one")
        return found

    def _member(self, offset: int) -> Member | None:
        head = os.pread(self._stream.fileno(), form.BLOCK, offset)
        if not any(head) and len(head) == form.BLOCK:
            if self._size != offset + len(form.END) or any(
                os.pread(self._stream.fileno(), form.BLOCK, offset + form.BLOCK)
            ):
                raise ArchiveError("the archive is cut off, or something was added at its end")
            return None
        try:
            found = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
        except (tarfile.TarError, UnicodeDecodeError) as error:
            raise ArchiveError(f"this is no archive, or it is cut off: at byte {offset} no member begins") from error
        if found.type != tarfile.REGTYPE or found.size < 0:
            raise ArchiveError(f"the archive holds {found.name!r:.120}, which is no plain file")
        if head != form.header(found.name, found.size):
            raise ArchiveError(f"the archive's {found.name!r:.120} was not written by `footnote export`")
        start = offset + form.BLOCK
        if start + found.size + form.padding(found.size) + len(form.END) > self._size:
            raise ArchiveError(f"the archive is cut off in {found.name!r:.120}")
        return Member(name=found.name, offset=start, size=found.size)


class _Walk:
    """Goes through an archive once, batch by batch, and notes what lay between."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._at: Member = archive.first
        self.members: list[Member] = []  # of the batch given last
        self.checksums: Member = archive.first  # of that batch
        self.last: Member = archive.first  # the archive's checksums, once all batches were given

    def __iter__(self) -> Iterator[Batch]:
        number = documents = 0
        while True:
            following = self._next()
            if following.name == form.CHECKSUMS:
                self.last = following
                if self._archive.member_after(following) is not None:
                    raise ArchiveError("the archive goes on after its end")
                return
            self.members = []
            batch = self._batch(number, documents, following)
            yield batch
            number += 1
            documents += len(batch.records)

    def _batch(self, number: int, first: int, head: Member) -> Batch:
        records = form.records_of(self._archive.read(self._named(head, number, "documents.ndjson")))
        each = range(len(records))
        originals = tuple(self._named(self._next(), number, f"originals/{at:02}") for at in each)
        texts = tuple(self._named(self._next(), number, f"texts/{at:02}") for at in each)
        pieces: list[Piece] = []
        while (following := self._next()).name != form.batch_name(number, form.CHECKSUMS):
            chunks = self._named(following, number, f"chunks/{len(pieces):04}.ndjson")
            vectors = self._named(self._next(), number, f"vectors/{len(pieces):04}")
            pieces.append(Piece(chunks=chunks, vectors=vectors))
        self.checksums = following
        for record, original in zip(records, originals, strict=True):
            if record.size_bytes != original.size:
                raise ArchiveError(f"the archive's {original.name} has another size than its document says")
        return Batch(
            number=number, first=first, records=records, originals=originals, texts=texts, pieces=tuple(pieces)
        )

    def _next(self) -> Member:
        following = self._archive.member_after(self._at)
        if following is None:
            raise ArchiveError("the archive is cut off: its checksums are missing")
        self._at = following
        return following

    def _named(self, member: Member, number: int, rest: str) -> Member:
        if member.name != (wanted := form.batch_name(number, rest)):
            raise ArchiveError(f"the archive holds {member.name!r:.120} where {wanted} belongs")
        self.members.append(member)
        return member


class _View(io.RawIOBase):
    """A member as a file of its own; does not move the archive's own position."""

    def __init__(self, descriptor: int, member: Member) -> None:
        super().__init__()
        self._descriptor, self._member, self._at = descriptor, member, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._member.size}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self._member.size - self._at))
        block = os.pread(self._descriptor, wanted, self._member.offset + self._at)
        buffer[: len(block)] = block
        self._at += len(block)
        return len(block)


def _require_same(found: dict[str, str], said: dict[str, str]) -> None:
    if found != said:
        wrong = sorted(name for name in {*found, *said} if found.get(name) != said.get(name))
        raise ArchiveError(f"the archive is damaged: {wrong[0]!r:.120} is not what was written")
