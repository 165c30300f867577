"""Who is asking and what they may read."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Sequence

EVERYONE = "*"  # every principal of the workspace
ADMINS = "#admin"  # the tag by which an index lets admins pass readers; no reader can be named so


class Role(enum.StrEnum):
    """What a key may do; each role may do all that the next one may."""

    ADMIN = "admin"  # keys, workspaces, and passes readers
    EDITOR = "editor"  # writes documents; bound by readers
    READER = "reader"  # searches and asks

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = (Role.READER, Role.EDITOR, Role.ADMIN)
        return order.index(self) >= order.index(other)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The caller of one request, as its key says."""

    workspace_id: uuid.UUID
    key_id: uuid.UUID | None  # None for the owner of the data folder at the command line
    role: Role
    user: str | None = None
    groups: tuple[str, ...] = ()

    @property
    def passes_readers(self) -> bool:
        """Admins read every document of their workspace."""
        return self.role is Role.ADMIN

    @property
    def reader_tags(self) -> tuple[str, ...]:
        """The entries of a document's `readers` that open it for this caller."""
        user = (f"user:{self.user}",) if self.user else ()
        return (EVERYONE, *user, *(f"group:{group}" for group in self.groups))

    @property
    def index_tags(self) -> tuple[str, ...]:
        """The tags that a point's access list is asked for."""
        return (ADMINS,) if self.passes_readers else self.reader_tags

    def began(self, *, key_id: uuid.UUID | None, user: str | None) -> bool:
        """Whether what a caller with this key and user began is this caller's: the same key, or that user's other one."""
        return self.key_id == key_id or (self.user is not None and self.user == user)

    def may_read(self, readers: Sequence[str]) -> bool:
        """Whether a document with these readers may be shown to this caller."""
        return self.passes_readers or not set(readers).isdisjoint(self.reader_tags)


def meet(left: Sequence[str], right: Sequence[str]) -> tuple[str, ...]:
    """The readers whom both lists admit by name; what an old version keeps while a narrower one is on its way.

    A user named on one side and a group on the other are not matched: who is in a group is known only per key, and
    showing too little for a while is right where showing too much is not.
    """
    if EVERYONE in left:
        return tuple(sorted(set(right)))
    if EVERYONE in right:
        return tuple(sorted(set(left)))
    return tuple(sorted(set(left) & set(right)))


def scope(index_id: uuid.UUID, readers: Sequence[str]) -> list[str]:
    """A point's access list: `{index_id}/{reader}` for each reader, and for admins."""
    return [f"{index_id}/{tag}" for tag in (*sorted(set(readers)), ADMINS)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The border that nothing crosses: keys, collections, documents and jobs belong to one."""

    id: uuid.UUID
    name: str
    created_at: dt.datetime


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key as stored: its secret is known only as a hash."""

    id: uuid.UUID
    workspace_id: uuid.UUID
    name: str
    prefix: str  # the first characters of the key, for people to tell keys apart
    secret_hash: str  # SHA-256, hexadecimal; the secret has 256 random bits, so no slow hash is needed
    role: Role
    user: str | None
    groups: tuple[str, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
