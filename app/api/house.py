"""What requests share, and one request's way to it: a caller is known before anything is done for it."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import Response

from app.api import problems, replies
from app.api.compute import Compute
from app.api.metrics import Metrics
from app.bootstrap import Services
from app.documents.add import require_editor
from app.domain.access import Principal
from app.domain.errors import UnauthenticatedError
from app.gateway.idempotency import MAX_NAME_CHARS, Idempotency, Reply
from app.gateway.keys import require_admin
from app.settings import Settings

T = TypeVar("T")
_PRINCIPAL = "footnote.principal"  # in a request's scope: who asks, once known
_REQUIRE = "footnote.require"  # in a request's scope: raises for a principal of a lower role than the route takes
_KEY_NAME = re.compile(rf"[\x21-\x7e]{{1,{MAX_NAME_CHARS}}}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What lives as long as the application."""

    settings: Settings
    services: Services
    compute: Compute
    metrics: Metrics
    idempotency: Idempotency
    stopping: asyncio.Event  # set when the process is asked to stop: what waits for a job waits no longer


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request with a key, which is looked up in the same thread that then does the work."""

    request: Request
    house: House
    secret: str

    @property
    def request_id(self) -> str | None:
        """The request's id."""
        return problems.request_id_of(self.request)

    @property
    def principal(self) -> Principal:
        """Who asks, once a first `run` has found it out."""
        found = self.request.scope[_PRINCIPAL]
        assert isinstance(found, Principal)  # noqa: S101 - for the type checker: `run` put it there
        return found

    def authenticated(self) -> Principal:
        """Who asks, with the role that the route takes; for a thread. Raises as `run`."""
        principal = self.house.services.keys.authenticate(self.secret)
        if _PRINCIPAL not in self.request.scope:  # once a request, however many steps it has
            self.house.services.rates.require(principal)
        self.request.scope[_PRINCIPAL] = principal
        if (require := self.request.scope.get(_REQUIRE)) is not None:
            require(principal)
        return principal

    async def run(self, work: Callable[[Principal], T], *, admitted: bool = False) -> T:
        """What `work` gives for the caller; one hop to a thread.

        Args:
            work: synchronous; it is given who asks.
            admitted: a later step of this request; see Compute.run.

        Raises:
            UnauthenticatedError: the key is unknown, revoked or expired.
            ForbiddenError: its role is below what the route takes.
        """
        return await self.house.compute.run(lambda: work(self.authenticated()), admitted=admitted)

    async def require_principal(self) -> Principal:
        """Who asks, where a request is long and strangers are to be turned away before it is read."""
        return await self.run(lambda principal: principal)

    def idempotency_key(self) -> str | None:
        """The request's Idempotency-Key.

        Raises:
            BadHeaderError: not 1 to 255 printable ASCII characters.
        """
        name = self.request.headers.get("idempotency-key")
        if name is not None and not _KEY_NAME.fullmatch(name):
            raise problems.BadHeaderError(
                f"an Idempotency-Key has 1 to {MAX_NAME_CHARS} printable ASCII characters", code="bad_idempotency_key"
            )
        return name

    def fingerprint(self, content: bytes) -> str:
        """Of this request; `content` is what its body says."""
        url = self.request.url
        parts = (self.request.method, url.path, url.query)
        return hashlib.sha256("\n".join(parts).encode("utf-8", "replace") + b"\n" + content).hexdigest()

    def once(self, principal: Principal, content: bytes, work: Callable[[], Reply]) -> Reply:
        """Carry out `work` once for this request's Idempotency-Key; `content` is what its body says."""
        return self.house.idempotency.once(principal, self.idempotency_key(), self.fingerprint(content), work)


credentials_of = HTTPBearer(auto_error=False, scheme_name="key", description="An API key: `fn_...`")


async def house_of(request: Request) -> House:
    """What the application holds; a problem before it has started and after it has stopped.

    This and `caller` are async, though they wait for nothing: FastAPI sends others to a thread.
    """
    house = getattr(request.app.state, "house", None)
    if not isinstance(house, House):
        raise problems.NotReadyError("the service is starting or stopping")
    return house


async def caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(credentials_of)]
) -> Call:
    """The request as one with a key, or UnauthenticatedError."""
    if credentials is None or not credentials.credentials:
        raise UnauthenticatedError("this takes an API key: Authorization: Bearer fn_...")
    return Call(request=request, house=await house_of(request), secret=credentials.credentials)


Caller = Annotated[Call, Depends(caller)]


async def admit_to_errors(request: Request) -> None:
    """Make sure of who asks, where that is not known yet: what is wrong with a request is for those who may make it.

    Raises:
        UnauthenticatedError, ForbiddenError: as `Call.run`.
    """
    if request.url.path.startswith("/v1/") and _PRINCIPAL not in request.scope:
        await (await caller(request, await credentials_of(request))).require_principal()


def _of_role(require: Callable[[Principal], None]) -> Callable[..., Any]:
    """A caller of at least a role. It stands first among a route's arguments, so that the role comes before all else."""

    async def dependency(request: Request, call: Caller) -> Call:
        request.scope[_REQUIRE] = require
        return call

    return dependency


def stored(reply: Reply) -> Response:
    """The response for a reply that an Idempotency-Key may have kept."""
    headers = {"Location": reply.location} if reply.location else {}
    if reply.replayed:
        headers["Idempotent-Replayed"] = "true"
    return replies.text(reply.body, status=reply.status, headers=headers)


TheHouse = Annotated[House, Depends(house_of)]
Editor = Annotated[Call, Depends(_of_role(require_editor))]
Admin = Annotated[Call, Depends(_of_role(require_admin))]
