"""What every request passes through, as plain ASGI: an id, a log line, a measurement, headers, the `Host` check."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import problems
from app.api.metrics import Metrics
from app.domain.access import Principal

log = structlog.get_logger("footnote.api")

_SERVED = ("http", "websocket")
_SWITCHED = 101  # a web socket was opened
_CLIENT_GONE = 499  # as nginx logs a client that went away before its answer
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_API_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
_DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class Observe:
    """The outermost: whatever happens inside, the request has an id, an answer, a log line and its headers."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Take what is inside and where measurements go."""
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in _SERVED:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        scope["footnote.request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                _set_headers(MutableHeaders(scope=message), scope["path"], request_id)
            elif message["type"] == "websocket.accept":
                status = _SWITCHED
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = _CLIENT_GONE
        except Exception:  # the last resort: recorded with its traceback, told to nobody
            log.exception("request failed")
            if not status and scope["type"] == "http":
                detail = "something went wrong here; the log has it under this request id"
                response = problems.problem(500, "internal_error", detail, request_id=request_id)
                await response(scope, receive, send_with_headers)
            status = 500
        finally:
            self._note(scope, status or _CLIENT_GONE, time.perf_counter() - started)
            structlog.contextvars.unbind_contextvars("request_id")

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")  # the template: a path may hold an external id
        method = scope.get("method", "WS")
        self._metrics.request(method if route != "unmatched" else "any", route, status, seconds)
        principal = scope.get("footnote.principal")
        workspace = str(principal.workspace_id) if isinstance(principal, Principal) else None
        log.info(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 2),
            workspace_id=workspace,
        )


class CheckHost:
    """Answers only requests for a host that this service goes by: a web page can't reach it by DNS tricks."""

    def __init__(self, app: ASGIApp, *, allowed: Sequence[str]) -> None:
        """Take names without ports; `*` allows all."""
        self._app = app
        self._allowed = frozenset(name.lower() for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] not in _SERVED or "*" in self._allowed or self._known(Headers(scope=scope).getlist("host")):
            await self._app(scope, receive, send)
            return
        error = problems.BadHostError("this Host is not served here: FOOTNOTE_ALLOWED_HOSTS")
        await problems.of_error(error, request_id=scope.get("footnote.request_id"))(scope, receive, send)

    def _known(self, hosts: Sequence[str]) -> bool:
        return len(hosts) == 1 and re.sub(r":\d{1,5}$", "", hosts[0]).lower() in self._allowed


def _request_id(scope: Scope) -> str:
    asked = Headers(scope=scope).get("x-request-id")
    return asked if asked and _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)


def _set_headers(headers: MutableHeaders, path: str, request_id: str) -> None:
    headers["X-Request-Id"] = request_id
    for name, value in _SECURITY.items():
        headers[name] = value
    headers["Content-Security-Policy"] = _DOCS_POLICY if path.startswith("/docs") else _API_POLICY
    if not path.startswith("/docs"):
        headers["Cache-Control"] = "no-store"
