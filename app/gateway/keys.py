"""API keys: made, listed, revoked, rotated, and looked up for every request."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import secrets
import uuid
from collections.abc import Sequence

from app.domain.access import Key, Principal, Role, Workspace
from app.domain.errors import BadNameError, ConflictError, ForbiddenError, NotFoundError, UnauthenticatedError
from app.domain.ids import new_id
from app.domain.ports import Clock
from app.domain.repositories import Database, ReadWork

PREFIX = "fn_"
DEFAULT_WORKSPACE = "default"  # made at the first start; its admins manage workspaces
_SECRET_BYTES = 32  # 256 random bits: guessing is hopeless, so a fast hash is enough
_SHOWN_CHARS = 8  # of the key, kept in clear so that people can tell keys apart
_MAX_NAME_CHARS = 64
_MAX_GROUPS = 64
_MAX_PART_CHARS = 100


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KeyRequest:
    """What a new key is to be."""

    name: str
    role: Role
    user: str | None = None
    groups: Sequence[str] = ()
    expires_at: dt.datetime | None = None
    workspace: str | None = None  # None: the caller's own


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The use case; safe to call from many threads."""

    database: Database
    clock: Clock

    def authenticate(self, secret: str) -> Principal:
        """The principal that a key stands for.

        Raises:
            UnauthenticatedError: unknown, revoked or expired; the answer does not say which.
        """
        with self.database.read() as work:
            key = work.keys.by_secret_hash(_hash(secret))
        now = self.clock.now()
        if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
            raise UnauthenticatedError("this API key is unknown, revoked or expired")
        return Principal(workspace_id=key.workspace_id, key_id=key.id, role=key.role, user=key.user, groups=key.groups)

    def create(self, principal: Principal, request: KeyRequest) -> tuple[Key, str]:
        """A new key and its secret, which is shown this once.

        Raises:
            ForbiddenError: not an admin; or another workspace's key asked for outside the default workspace.
            NotFoundError: no such workspace.
            BadNameError: name, user or groups are not well formed.
        """
        require_admin(principal)
        with self.database.write() as work:
            workspace_id = self._workspace(work, principal, request.workspace)
            key, secret = new_key(workspace_id, request, self.clock.now())
            work.keys.add(key)
            work.commit()
        return key, secret

    def page(self, principal: Principal, *, after: uuid.UUID | None, limit: int) -> list[Key]:
        """The workspace's keys, revoked ones too. Raises ForbiddenError where the caller is not an admin."""
        require_admin(principal)
        with self.database.read() as work:
            return work.keys.page(principal.workspace_id, after=after, limit=limit)

    def revoke(self, principal: Principal, key_id: uuid.UUID) -> None:
        """Make a key stop working at once.

        Raises:
            ForbiddenError: not an admin.
            NotFoundError: no such key in this workspace, or revoked before.
            ConflictError: the caller's own key; rotate it, or use another.
        """
        require_admin(principal)
        if key_id == principal.key_id:
            raise ConflictError("a key can't revoke itself: rotate it, or use another admin key", code="own_key")
        with self.database.write() as work:
            if not work.keys.revoke(principal.workspace_id, key_id, self.clock.now()):
                raise NotFoundError("no such key, or it is revoked already", code="key_not_found")
            work.commit()

    def rotate(self, principal: Principal, key_id: uuid.UUID) -> tuple[Key, str]:
        """A new secret for what a key may do; the old key stops working in the same moment. Raises as `revoke`."""
        require_admin(principal)
        now = self.clock.now()
        with self.database.write() as work:
            old = work.keys.get(principal.workspace_id, key_id)
            if old is None or not work.keys.revoke(principal.workspace_id, key_id, now):
                raise NotFoundError("no such key, or it is revoked already", code="key_not_found")
            request = KeyRequest(
                name=old.name, role=old.role, user=old.user, groups=old.groups, expires_at=old.expires_at
            )
            key, secret = new_key(old.workspace_id, request, now)
            work.keys.add(key)
            work.commit()
        return key, secret

    def _workspace(self, work: ReadWork, principal: Principal, name: str | None) -> uuid.UUID:
        own = work.workspaces.get(principal.workspace_id)
        if name is None or (own is not None and own.name == name):
            return principal.workspace_id
        require_operator(own)
        found = work.workspaces.by_name(name)
        if found is None:
            raise NotFoundError(f"no workspace named {name!r:.80}", code="workspace_not_found")
        return found.id


def require_admin(principal: Principal) -> None:
    """Raise ForbiddenError where the key is not an admin's."""
    if principal.role is not Role.ADMIN:
        raise ForbiddenError("this takes a key with the role admin")


def require_operator(own: Workspace | None) -> None:
    """Raise ForbiddenError where the caller's own workspace is not the default one."""
    if own is None or own.name != DEFAULT_WORKSPACE:
        raise ForbiddenError(f"only admins of the workspace {DEFAULT_WORKSPACE!r} manage other workspaces")


def new_key(workspace_id: uuid.UUID, request: KeyRequest, now: dt.datetime) -> tuple[Key, str]:
    """A key's row and its secret. Raises BadNameError where a part is not well formed."""
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    if len(request.groups) > _MAX_GROUPS:
        raise BadNameError(f"a key has at most {_MAX_GROUPS} groups")
    key = Key(
        id=new_id(),
        workspace_id=workspace_id,
        name=_part(request.name, of="a key's name", limit=_MAX_NAME_CHARS),
        prefix=secret[: len(PREFIX) + _SHOWN_CHARS],
        secret_hash=_hash(secret),
        role=request.role,
        user=None if request.user is None else _part(request.user, of="a user", limit=_MAX_PART_CHARS),
        groups=tuple(sorted({_part(each, of="a group", limit=_MAX_PART_CHARS) for each in request.groups})),
        created_at=now,
        expires_at=request.expires_at,
        revoked_at=None,
    )
    return key, secret


def _part(text: str, *, of: str, limit: int) -> str:
    trimmed = text.strip()
    if not 1 <= len(trimmed) <= limit or not trimmed.isprintable():
        raise BadNameError(f"{of} has 1 to {limit} printable characters")
    return trimmed


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
