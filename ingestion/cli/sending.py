"""Sends files, each whole or line by line, and says what the service made of them."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any

from app.domain.errors import FootnoteError
from ingestion.cli import batches
from ingestion.cli.batches import Defaults, Line, Mapping_, Part
from ingestion.cli.client import Service, segment
from ingestion.cli.errors import LocalError, RefusedError, StoppedError
from ingestion.cli.following import Follower, Job
from ingestion.cli.outcomes import Outcome, Report, State
from ingestion.cli.sources import Source, Unreadable


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What holds for every document of one command."""

    collection: str
    title: str | None
    metadata: Mapping[str, Any]
    readers: Sequence[str]
    mapping: Mapping_
    wait: bool  # for the jobs; else a document is done with once it is accepted
    bulk: bool = False  # many: they go after what single people wait for


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Sends one source at a time per thread; safe to call from several."""

    service: Service
    common: Common
    report: Report
    follower: Follower

    def send(self, source: Source | Unreadable) -> None:
        """Send a source; what is wrong with it alone becomes its outcome.

        Raises:
            RefusedError: for a reason that concerns every document: the key, the role, the collection.
            UnreachableError, StoppedError: see `Service.request`.
        """
        try:
            if isinstance(source, Unreadable):
                raise LocalError(f"{source.path} can't be read: {source.reason}")  # noqa: TRY301 - one place records it
            if batches.is_batch(source.path, self.common.mapping, named=source.named):
                self._send_lines(source)
            else:
                self._send_file(source)
        except (RefusedError, LocalError) as error:
            if isinstance(error, RefusedError) and error.concerns_all:
                raise
            self.report.add(_outcome(source, State.FAILED, code=error.code, message=error.message))
        finally:
            if isinstance(source, Source) and source.temporary:
                source.path.unlink(missing_ok=True)
        self.report.file_done()

    def _send_file(self, source: Source) -> None:
        fields = {name: value for name, value in self._fields().items() if value is not None}
        name = source.external_id.rpartition("/")[2].replace("\\", "_")
        try:
            stream = source.path.open("rb")
        except OSError as error:
            raise LocalError(f"{source.path} can't be read: {(error.strerror or str(error)).lower()}") from error
        with stream:
            counted = _Counted(stream, self.report, self.service.stopping)

            def body() -> Mapping[str, Any]:
                counted.rewind()
                media_type = source.media_type or "application/octet-stream"  # the content has the last word
                return {"data": fields, "files": {"file": (name, counted, media_type)}}

            path = f"/v1/documents/by-external-id/{segment(source.external_id)}"
            params = {"collection": self.common.collection, "priority": "bulk" if self.common.bulk else None}
            reply = self.service.request("PUT", path, params=params, body=body)
        document_id, job_id = reply.body.get("document_id"), reply.body.get("job_id")
        if job_id is None or not self.common.wait:
            state = State.UNCHANGED if job_id is None else State.ACCEPTED
            self.report.add(_outcome(source, state, document_id=document_id, job_id=job_id))
            return

        def ended(job: Job) -> None:
            self.report.ended(1)
            error = job.get("error") or {}
            self.report.add(
                _outcome(
                    source,
                    State(job["state"]),
                    document_id=document_id,
                    job_id=job_id,
                    warnings=job.get("warnings") or (),
                    code=error.get("code"),
                    message=error.get("message"),
                )
            )

        self.report.accepted(1)
        self.follower.follow(job_id, ended)

    def _fields(self) -> dict[str, str | None]:
        common = self.common
        return {
            "title": common.title,
            "metadata": json.dumps(common.metadata) if common.metadata else None,
            "readers": json.dumps(list(common.readers)) if common.readers else None,
        }

    def _send_lines(self, source: Source) -> None:
        defaults = Defaults(metadata=self.common.metadata, readers=self.common.readers)
        position = 0
        for part in batches.parts(source.path, source.external_id, self.common.mapping, defaults):
            for bad in part.bad:
                self.report.add(_outcome(source, State.FAILED, line=bad.number, code=bad.code, message=bad.message))
            if part.lines:
                self._send_part(source, part)
            self.report.moved(part.position - position)
            position = part.position

    def _send_part(self, source: Source, part: Part) -> None:
        content = b"".join(line.content for line in part.lines)
        try:
            reply = self.service.request(
                "POST",
                "/v1/documents/batch",
                params={"collection": self.common.collection},
                body=lambda: {"content": content, "headers": {"Content-Type": "application/x-ndjson"}},
                idempotency_key=self.service.new_key(),
            )
        except RefusedError as error:
            if error.concerns_all:
                raise
            self._refuse_lines(source, part, error)
            return
        rejected = {int(each["line"]): each for each in reply.body.get("rejected", ())}
        for number, each in rejected.items():
            line = part.lines[number - 1]
            self.report.add(
                _line_outcome(source, line, State.FAILED, code=each.get("code"), message=each.get("message"))
            )
        accepted = {number: line for number, line in enumerate(part.lines, start=1) if number not in rejected}
        job_id = str(reply.body["job_id"])
        if not self.common.wait:
            working = self._items(job_id) if reply.body["accepted"] < len(accepted) else accepted
            for number, line in accepted.items():
                state = State.ACCEPTED if number in working else State.UNCHANGED
                self.report.add(_line_outcome(source, line, state, job_id=job_id))
            return

        def ended(job: Job) -> None:
            self.report.ended(len(accepted))
            self._end_lines(source, accepted, job)

        self.report.accepted(len(accepted))
        self.follower.follow(job_id, ended)

    def _items(self, job_id: str) -> dict[int, dict[str, Any]]:
        """What a batch's job works on, by line."""
        return {int(item["line"]): item for item in self.service.pages(f"/v1/jobs/{job_id}/items")}

    def _refuse_lines(self, source: Source, part: Part, error: RefusedError) -> None:
        """A part of which nothing went in: each line with its own reason where the service gave one."""
        reasons = {int(each["line"]): each for each in error.rejected}
        for number, line in enumerate(part.lines, start=1):
            reason = reasons.get(number, {"code": error.code, "message": error.message})
            self.report.add(_line_outcome(source, line, State.FAILED, code=reason["code"], message=reason["message"]))

    def _end_lines(self, source: Source, accepted: Mapping[int, Line], job: Job) -> None:
        """The outcome of each line; a line without an item needed no work."""
        job_id = str(job["id"])
        items = self._items(job_id)
        for number, line in accepted.items():
            item = items.get(number)
            if item is None:
                self.report.add(_line_outcome(source, line, State.UNCHANGED, job_id=job_id))
                continue
            error = item.get("error") or {}
            self.report.add(
                _line_outcome(
                    source,
                    line,
                    State(item["state"]),
                    job_id=job_id,
                    document_id=item.get("document_id"),
                    warnings=item.get("warnings") or (),
                    code=error.get("code"),
                    message=error.get("message"),
                )
            )


class Crew:
    """Threads that send sources, in order, until there are none."""

    def __init__(self, sender: Sender, sources: Iterable[Source | Unreadable], *, size: int) -> None:
        self._sender = sender
        self._sources = iter(sources)
        self._lock = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(size, thread_name_prefix="footnote-send")
        self._work = [self._pool.submit(self._run) for _ in range(size)]

    @property
    def busy(self) -> bool:
        """Whether a thread still sends."""
        return not all(future.done() for future in self._work)

    def check(self) -> None:
        """Raise what ended a thread before its time."""
        for future in self._work:
            if future.done() and (error := future.exception()) is not None and not isinstance(error, StoppedError):
                raise error

    def close(self) -> None:
        """Take on no further source, give up those that are being sent, and wait for the threads."""
        if self.busy:
            self._sender.service.stopping.set()
        self._pool.shutdown(wait=True)

    def _run(self) -> None:
        try:
            while not self._sender.service.stopping.is_set():
                with self._lock:
                    source = next(self._sources, None)
                if source is None:
                    return
                self._sender.send(source)
        except FootnoteError:
            self._sender.service.stopping.set()  # the others would meet the same
            raise


class _Counted:
    """A file that counts what is read of it; it ends where it ended when it was opened, though it may grow."""

    def __init__(self, stream: IO[bytes], report: Report, stopping: threading.Event) -> None:
        self._stream = stream
        self._report = report
        self._stopping = stopping
        self._size = stream.seek(0, os.SEEK_END)
        self._counted = 0

    def rewind(self) -> None:
        """Begin anew, for another try."""
        self._report.moved(-self._counted)
        self._counted = 0
        self._stream.seek(0)

    def read(self, size: int = -1) -> bytes:
        """As of a file."""
        if self._stopping.is_set():
            raise StoppedError("stopped while it was sent")
        left = self._size - self._counted
        block = self._stream.read(left if size < 0 else min(size, left))
        self._counted += len(block)
        self._report.moved(len(block))
        return block

    def tell(self) -> int:
        """As of a file."""
        return self._counted

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """What httpx asks of it: the length, and the beginning."""
        if whence == os.SEEK_END:
            return self._size
        self.rewind()
        return offset

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(1 << 16):
            yield block


def _outcome(source: Source | Unreadable, state: State, **parts: Any) -> Outcome:
    return Outcome(external_id=source.external_id, path=str(source.path), state=state, **parts)


def _line_outcome(source: Source, line: Line, state: State, **parts: Any) -> Outcome:
    return Outcome(external_id=line.external_id, path=str(source.path), line=line.number, state=state, **parts)
