"""Files of JSON lines, each line a document: told from other files, mapped, and cut into parts that fit in memory."""

from __future__ import annotations

import dataclasses
import gzip
import io
import itertools
import json
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from app.documents import uploads
from app.domain.access import EVERYONE
from app.domain.errors import FootnoteError
from ingestion.cli.errors import LocalError

SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
TARGETS = ("text", "title", "external_id", "metadata", "readers")
PART_LINES = 1000  # with PART_BYTES the memory of a part, and how soon the service has something to embed
PART_BYTES = 4 * 1024 * 1024
LOOKED_AT_LINES = 100  # of a file found in a folder, before its lines are taken for documents
MAX_LINE_BYTES = 32 * 1024 * 1024  # the service has its own, lower limit; this one bounds our memory


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mapping_:  # noqa: N801 - `Mapping` is the abstract class
    """Which key of a line gives which part of a document."""

    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)  # text, title, ... or metadata.NAME -> key

    @classmethod
    def parse(cls, options: Sequence[str]) -> Mapping_:
        """Of `--map TARGET=KEY` options.

        Raises:
            ValueError: another form, or a target that documents do not have.
        """
        keys = {}
        for option in options:
            target, _, key = option.partition("=")
            if target not in TARGETS and not (target.startswith("metadata.") and target != "metadata."):
                raise ValueError(f"--map {option}: the part before = is one of {', '.join(TARGETS)} or metadata.NAME")
            if not key:
                raise ValueError(f"--map {option}: the key of the line is missing; as in --map text=body")
            keys[target] = key
        return cls(keys=keys)

    def document(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """The line as the batch route takes it; parts that the line lacks, or has as null, are left out."""
        document = {}
        for target in TARGETS:
            value = _at(line, self.keys.get(target, target))
            if value is not None:
                document[target] = value
        for target, key in self.keys.items():
            if target.startswith("metadata.") and (value := _at(line, key)) is not None:
                document["metadata"] = {**document.get("metadata", {}), target.removeprefix("metadata."): value}
        if isinstance(document.get("external_id"), int):
            document["external_id"] = str(document["external_id"])
        return document


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One document of a part."""

    number: int  # 1-based, in the file
    external_id: str
    content: bytes  # as it is sent, with its line end


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A line that is no document."""

    number: int  # 1-based, in the file
    code: str
    message: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Lines that are sent together."""

    lines: tuple[Line, ...]
    bad: tuple[BadLine, ...]
    position: int  # bytes of the file, compressed ones for .gz, that have been read so far


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the command line says of every document."""

    metadata: Mapping[str, Any]
    readers: Sequence[str]


def named_so(name: str) -> bool:
    """Whether a file's name says that it holds JSON lines."""
    return name.lower().endswith(SUFFIXES)


def is_batch(path: pathlib.Path, mapping: Mapping_, *, named: bool) -> bool:
    """Whether the file's lines are documents; else it is one document.

    Its name must say JSON lines. Then,

    - with a mapping it is a batch;
    - named on the command line it is one where its first line that is not blank is an object with a text under `text`;
    - found in a folder, where nobody has said what it is, it is one where each of its first lines is a document exactly:
      no keys but those of a document, and these as the service takes them. Another program's records that happen to have
      a `text` are one document, as any other file.

    Raises:
        LocalError: compressed lines that are no batch: no loader reads those as one document.
    """
    if not named_so(path.name):
        return False
    if mapping.keys:
        return True
    try:
        with _opened(path) as (stream, _):
            if _says_documents(stream, named=named):
                return True
    except (OSError, EOFError, zlib.error) as error:
        raise LocalError(f"{path} can't be read: {error}") from error
    if path.name.lower().endswith(".gz"):
        raise LocalError(
            f"{path}: its lines are no documents as they stand; say which key holds the text, as in --map text=body"
            + ("" if named else ", or name the file itself"),
            code="unmapped_lines",
        )
    return False


def _says_documents(stream: IO[bytes], *, named: bool) -> bool:
    """Whether the lines at the beginning are documents; see `is_batch`."""
    filled = (line for line in iter(lambda: stream.readline(MAX_LINE_BYTES), b"") if line.strip())
    values = (_parsed(line.removeprefix(b"\xef\xbb\xbf")) for line in filled)
    if named:
        value = next(values, None)
        return isinstance(value, dict) and isinstance(value.get("text"), str)
    there_is_one = False
    for value in itertools.islice(values, LOOKED_AT_LINES):
        if not _is_document(value):
            return False
        there_is_one = True
    return there_is_one


def _is_document(value: Any) -> bool:
    """Whether a line has the parts of a document and no others, each of the form that the service takes."""
    if not isinstance(value, dict) or "text" not in value or not value.keys() <= set(TARGETS):
        return False
    parts = Mapping_().document(value)
    metadata, readers = parts.get("metadata", {}), parts.get("readers", [EVERYONE])
    if not all(isinstance(parts.get(name, ""), str) for name in ("text", "title", "external_id")):
        return False
    if not isinstance(metadata, dict) or not isinstance(readers, list):
        return False
    if not all(isinstance(each, str) for each in readers):
        return False
    try:
        uploads.check_metadata(metadata)
        uploads.check_readers(readers)
    except FootnoteError:
        return False
    return True


def parts(path: pathlib.Path, prefix: str, mapping: Mapping_, defaults: Defaults) -> Iterator[Part]:
    """The file's documents in order. One without an external id is named `{prefix}/{line}`, so that the same file
    again replaces and never doubles it.

    Raises:
        LocalError: the file can't be read to its end; what came before has been given.
    """
    lines: list[Line] = []
    bad: list[BadLine] = []
    size = position = 0
    try:
        with _opened(path) as (stream, raw):
            for number, content in _numbered(stream):
                if content.strip():
                    made = _line(number, content, prefix, mapping, defaults)
                    if isinstance(made, BadLine):
                        bad.append(made)
                    else:
                        lines.append(made)
                        size += len(made.content)
                position = raw.tell()
                if len(lines) + len(bad) >= PART_LINES or size >= PART_BYTES:
                    yield Part(lines=tuple(lines), bad=tuple(bad), position=position)
                    lines, bad, size = [], [], 0
            yield Part(lines=tuple(lines), bad=tuple(bad), position=raw.tell())
    except (OSError, EOFError, zlib.error) as error:
        yield Part(lines=tuple(lines), bad=tuple(bad), position=position)
        raise LocalError(f"{path} can't be read to its end: {error}") from error


class _opened:  # noqa: N801 - used as a function in `with`
    """The file's lines, decompressed where it is gzip by content, and the file beneath them."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    def __enter__(self) -> tuple[IO[bytes], IO[bytes]]:
        self._raw = self._path.open("rb")
        magic = self._raw.peek(2)[:2]
        stream: IO[bytes] = io.BufferedReader(gzip.GzipFile(fileobj=self._raw)) if magic == b"\x1f\x8b" else self._raw
        return stream, self._raw

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def _numbered(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers; of one over the limit only so much that its length tells."""
    number = 0
    while content := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        rest = content
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES + 1)
        yield number, content.removeprefix(b"\xef\xbb\xbf") if number == 1 else content


def _line(number: int, content: bytes, prefix: str, mapping: Mapping_, defaults: Defaults) -> Line | BadLine:
    if len(content) > MAX_LINE_BYTES:
        return BadLine(number=number, code="too_large", message=f"the line has more than {MAX_LINE_BYTES} bytes")
    value = _parsed(content)
    if not isinstance(value, dict):
        return BadLine(number=number, code="invalid_json", message="the line is no JSON object")
    document = mapping.document(value)
    if not isinstance(document.get("text"), str):
        key = mapping.keys.get("text", "text")
        return BadLine(
            number=number, code="no_text", message=f"the line has no text under {key!r:.80}; see --map text=KEY"
        )
    document.setdefault("external_id", f"{prefix}/{number}")
    if defaults.metadata and isinstance(document.get("metadata", {}), dict):
        document["metadata"] = {**defaults.metadata, **document.get("metadata", {})}
    if defaults.readers:
        document.setdefault("readers", list(defaults.readers))
    encoded = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Line(number=number, external_id=str(document["external_id"]), content=encoded + b"\n")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _at(line: Mapping[str, Any], key: str) -> Any:
    """The value under a key, or under a path of keys joined by dots where no key is spelled so."""
    if key in line:
        return line[key]
    value: Any = line
    for step in key.split("."):
        if not isinstance(value, dict) or step not in value:
            return None
        value = value[step]
    return value
