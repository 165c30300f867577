"""A corpus on the embedded adapters, with a small deterministic embedder, that tests write and search."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import time
import uuid
from collections.abc import Iterator

import pytest

from app.answering.search import Mode, SearchRequest, SearchResult
from app.bootstrap import Services
from app.documents.add import Accepted
from app.documents.uploads import Staged, Upload
from app.domain.access import Principal, Role
from app.domain.filters import Filter, Scalar
from app.domain.jobs import Job
from app.gateway.keys import KeyRequest
from tests.services import running

_DEADLINE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Services that run, and the calls that tests make most."""

    services: Services
    admin: Principal
    collection: str

    def put(
        self,
        text: str | bytes,
        *,
        external_id: str | None = None,
        title: str | None = None,
        metadata: dict[str, Scalar] | None = None,
        readers: tuple[str, ...] | None = None,
        filename: str = "note.txt",
        by: Principal | None = None,
        idempotency_key: str | None = None,
    ) -> Accepted:
        """Upload one document."""
        content = text.encode() if isinstance(text, str) else text
        path = self.services.stage()
        path.write_bytes(content)
        upload = Upload(
            external_id=external_id,
            title=title,
            metadata=metadata,
            readers=readers,
            filename=filename,
            media_type=None,
        )
        staged = Staged(path=path, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        try:
            return self.services.add.add(
                by or self.admin, self.collection, upload, staged, idempotency_key=idempotency_key
            )
        finally:
            path.unlink(missing_ok=True)

    def ended(self, job: Job | None) -> Job:
        """The job once it is final."""
        assert job is not None
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found, _ = self.services.jobs.get(self.admin, job.id)
            if found.state.final:
                return found
            time.sleep(0.01)
        pytest.fail(f"the job is not final after {_DEADLINE_SECONDS} s: {found}")

    def live(self, text: str, **parts: object) -> Accepted:
        """Upload one document and wait until it is live."""
        accepted = self.put(text, **parts)  # type: ignore[arg-type]
        assert self.ended(accepted.job).error is None
        return accepted

    def search(
        self,
        query: str,
        *,
        by: Principal | None = None,
        limit: int = 10,
        condition: Filter | None = None,
        by_document: bool = False,
        mode: Mode = Mode.HYBRID,
    ) -> SearchResult:
        """Search this corpus's collection."""
        request = SearchRequest(
            query=query,
            collections=[self.collection],
            limit=limit,
            filter=condition,
            by_document=by_document,
            mode=mode,
        )
        return self.services.search(by or self.admin, request)

    def texts(self, query: str, *, by: Principal | None = None, limit: int = 10) -> list[str]:
        """The texts that a search shows."""
        return [each.hit.chunk.text for each in self.search(query, by=by, limit=limit).hits]

    def principal(self, role: Role, *, user: str | None = None, groups: tuple[str, ...] = ()) -> Principal:
        """A caller with a fresh key of that role."""
        request = KeyRequest(name=f"test-{uuid.uuid4().hex[:8]}", role=role, user=user, groups=groups)
        _, secret = self.services.keys.create(self.admin, request)
        return self.services.keys.authenticate(secret)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with running.installation(tmp_path_factory.mktemp("data")) as built:
        built.start()
        yield built
        built.stop()


@pytest.fixture
def corpus(services: Services) -> Corpus:
    """An empty collection in the module's services."""
    admin = services.keys.authenticate(_secret(services.admin_key_path))
    name = f"c-{uuid.uuid4().hex[:12]}"
    services.collections.create(admin, name)
    return Corpus(services=services, admin=admin, collection=name)


def _secret(path: pathlib.Path) -> str:
    return path.read_text().strip()
