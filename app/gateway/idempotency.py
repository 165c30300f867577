"""A request with an Idempotency-Key is carried out once; its reply is given again to whoever asks again."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable

from app.domain.access import Principal
from app.domain.errors import ConflictError, OverloadedError
from app.domain.ports import Clock
from app.domain.repositories import Database, StoredReply

MAX_NAME_CHARS = 255
_ABANDONED_AFTER = dt.timedelta(hours=1)  # longer than any request may take


class InProgressError(OverloadedError):
    """The first request with this key is still under way: 409, come back."""

    code = "idempotency_in_progress"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a request was answered with."""

    status: int
    body: str  # JSON
    location: str | None = None
    replayed: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """The use case; safe to call from many threads. The sweeper forgets old replies."""

    database: Database
    clock: Clock
    born: dt.datetime  # start of this process: a request that was under way before it died with its process

    def once(self, principal: Principal, name: str | None, fingerprint: str, work: Callable[[], Reply]) -> Reply:
        """The reply of `work`, or the stored one where this key asked the same before.

        What fails is forgotten, so that it can be tried again.

        Args:
            principal: who asks; names are per API key.
            name: the Idempotency-Key; None carries `work` out and stores nothing.
            fingerprint: of all that makes the request what it is.
            work: carries the request out.

        Raises:
            ConflictError: the name stands for another request.
            InProgressError: the first request is still under way.
        """
        if (before := self.begin(principal, name, fingerprint)) is not None:
            return before
        done = False
        try:
            reply = work()
            self.end(principal, name, reply)
            done = True
        finally:
            if not done:
                self.forget(principal, name)
        return reply

    def begin(self, principal: Principal, name: str | None, fingerprint: str) -> Reply | None:
        """Take the name; gives the reply stored under it, None where the request is to be carried out now.

        `end` or `forget` follows. Raises as `once`.
        """
        if name is None or principal.key_id is None:
            return None
        now = self.clock.now()
        with self.database.write() as unit:
            stored = unit.idempotency.reserve(principal.workspace_id, principal.key_id, name, fingerprint, now)
            orphaned = max(self.born, now - _ABANDONED_AFTER)
            if stored is not None and stored.status is None and stored.created_at < orphaned:
                unit.idempotency.release(principal.workspace_id, principal.key_id, name)
                stored = unit.idempotency.reserve(principal.workspace_id, principal.key_id, name, fingerprint, now)
            unit.commit()
        return None if stored is None else _replay(stored, fingerprint)

    def end(self, principal: Principal, name: str | None, reply: Reply) -> None:
        """Keep the reply for whoever asks again."""
        if name is None or principal.key_id is None:
            return
        with self.database.write() as unit:
            unit.idempotency.complete(
                principal.workspace_id,
                principal.key_id,
                name,
                status=reply.status,
                body=reply.body,
                location=reply.location,
            )
            unit.commit()

    def forget(self, principal: Principal, name: str | None) -> None:
        """Give the name back: its request was not carried out."""
        if name is None or principal.key_id is None:
            return
        with self.database.write() as unit:
            unit.idempotency.release(principal.workspace_id, principal.key_id, name)
            unit.commit()


def _replay(stored: StoredReply, fingerprint: str) -> Reply:
    if stored.fingerprint != fingerprint:
        raise ConflictError("this Idempotency-Key was used for another request", code="idempotency_mismatch")
    if stored.status is None:
        raise InProgressError("the first request with this Idempotency-Key is still under way")
    return Reply(status=stored.status, body=stored.body, location=stored.location, replayed=True)
