"""An office file (docx, pptx, xlsx): a zip of XML parts, opened so that no file can do harm by being opened."""

from __future__ import annotations

import pathlib
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any

from lxml import etree

from app.domain.errors import DocumentError
from ingestion.load.assembly import Limits

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_ALWAYS_FINE_BYTES = 8 << 20  # whatever the ratio
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


class Package:
    """The parts of an office file by name. Use as a context."""

    def __init__(self, path: pathlib.Path, *, limits: Limits) -> None:
        """Open the file.

        Raises:
            DocumentError: `encrypted`, `malformed`, or `too_long` where it holds too many parts.
        """
        self._limits = limits
        self._left_bytes = limits.max_uncompressed_bytes
        with path.open("rb") as stream:
            if stream.read(8) == _OLE:
                raise DocumentError("the file is encrypted and needs a password", code="encrypted")
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGE as error:
            raise _damaged("it is no whole zip") from error
        self.names = frozenset(self._zip.namelist())
        if len(self.names) > limits.max_parts:
            self._zip.close()
            raise DocumentError(
                f"the file has {len(self.names):,} parts, the limit is {limits.max_parts:,}", code="too_long"
            )

    def __enter__(self) -> Package:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()

    def parse(self, name: str) -> Any:
        """The root element of a part; None where there is no such part. Raises as `stream`, or `malformed`."""
        if name not in self.names:
            return None
        with self.stream(name) as stream:
            try:
                root = etree.parse(stream, _parser()).getroot()
            except etree.XMLSyntaxError as error:
                raise _damaged(f"its part {name} is no XML") from error
            except _DAMAGE as error:
                raise _damaged(f"its part {name} can't be read") from error
        return root

    def rows(self, name: str, *tags: str) -> Iterator[Any]:
        """The elements of these tags, one at a time as they are read; each is emptied once the next is asked for."""
        if name not in self.names:
            return
        with self.stream(name) as stream:
            try:
                # Entities stay unexpanded; libxml2 itself bounds depth and amplification without huge_tree.
                steps = etree.iterparse(stream, tag=tags, resolve_entities=False, no_network=True, remove_comments=True)
                for _, element in steps:
                    yield element
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
            except etree.XMLSyntaxError as error:
                raise _damaged(f"its part {name} is no XML") from error
            except _DAMAGE as error:
                raise _damaged(f"its part {name} can't be read") from error

    def stream(self, name: str) -> IO[bytes]:
        """A part's bytes.

        Raises:
            DocumentError: `malformed`, `encrypted`; `too_long` where it unpacks to more than the limits allow.
        """
        entry = self._zip.getinfo(name)
        limit = min(self._limits.max_part_bytes, self._left_bytes)
        if entry.file_size > limit:
            raise _bomb(f"its part {name} unpacks to {entry.file_size:,} bytes, the limit is {limit:,}")
        if entry.file_size > max(_ALWAYS_FINE_BYTES, self._limits.max_ratio * max(1, entry.compress_size)):
            raise _bomb(f"its part {name} unpacks to more than {self._limits.max_ratio} times its size")
        if entry.flag_bits & 0x1:
            raise DocumentError("the file is encrypted and needs a password", code="encrypted")
        self._left_bytes -= entry.file_size
        try:
            return self._zip.open(entry)  # reads no more than the size that was checked
        except _DAMAGE as error:
            raise _damaged(f"its part {name} can't be read") from error

    def relations(self, name: str) -> dict[str, tuple[str, str]]:
        """What a part refers to by id: the last word of the relation's type, and the part's name."""
        folder, base = posixpath.split(name)
        root = self.parse(posixpath.join(folder, "_rels", f"{base}.rels"))
        found: dict[str, tuple[str, str]] = {}
        for entry in root.iter(_RELATION) if root is not None else ():
            if entry.get("TargetMode") == "External":
                continue
            target = posixpath.normpath(posixpath.join("/", folder, entry.get("Target", "")))
            found[entry.get("Id", "")] = (entry.get("Type", "").rpartition("/")[2], target.lstrip("/"))
        return found

    def related(self, name: str, kind: str) -> list[str]:
        """The parts of one kind that a part refers to, in their order."""
        return [target for found, target in self.relations(name).values() if found == kind and target in self.names]

    def main(self) -> str:
        """The name of the part that holds the document."""
        found = self.related("", "officeDocument")
        if not found:
            raise _damaged("it does not say where its content is")
        return found[0]

    def title(self) -> str | None:
        """The title among the file's properties."""
        for name in self.related("", "core-properties"):
            root = self.parse(name)
            title = root.find("{http://purl.org/dc/elements/1.1/}title")
            if title is not None and title.text:
                return str(title.text)
        return None


def _parser() -> etree.XMLParser:
    # Without huge_tree libxml2 bounds depth (256), text (10 MB) and the growth by entities, which stay unexpanded anyway.
    return etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)


def _damaged(how: str) -> DocumentError:
    return DocumentError(f"the file is damaged: {how}", code="malformed")


def _bomb(how: str) -> DocumentError:
    return DocumentError(f"the file is refused: {how}", code="too_long")
