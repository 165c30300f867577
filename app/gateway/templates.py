"""Prompt templates of a workspace: set, read and taken back."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from app.domain.access import Principal
from app.domain.errors import BadNameError, ConflictError, NotFoundError
from app.domain.ids import new_id
from app.domain.policies import TemplateVersion
from app.domain.ports import Clock
from app.domain.repositories import Database, ReadWork, WriteWork
from app.gateway.keys import require_admin
from app.gateway.policies import check_note, require_number

MAX_TEMPLATES = 100  # names of one workspace: the list of them is one page
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The use case; safe to call from many threads. All of it is for admins: a prompt is nobody else's business."""

    database: Database
    clock: Clock
    default: TemplateVersion  # the one that comes with the product: number 0 of its name
    check: Callable[[TemplateVersion], None]  # raises InvalidInputError where it can't be rendered

    def all(self, principal: Principal) -> list[TemplateVersion]:
        """Those in force, by name. Raises ForbiddenError where the caller is not an admin."""
        require_admin(principal)
        with self.database.read() as work:
            found = {each.name: each for each in work.templates.in_force(principal.workspace_id)}
        found.setdefault(self.default.name, self.default)
        return [found[name] for name in sorted(found)]

    def get(self, principal: Principal, name: str) -> TemplateVersion:
        """The one in force. Raises ForbiddenError, and NotFoundError where there is none of that name."""
        require_admin(principal)
        with self.database.read() as work:
            return self._in_force(work, principal, name)

    def set(
        self, principal: Principal, name: str, system: str, user: str, *, note: str = "", if_number: int | None = None
    ) -> TemplateVersion:
        """Write a template as the next version of its name; where it is in force already, nothing is written.

        Args:
            principal: an admin.
            name: may be new; `default` stands in for the product's.
            system: Jinja2.
            user: Jinja2.
            note: why.
            if_number: as `Policies.set`.

        Raises:
            ForbiddenError: not an admin.
            BadNameError: not 1 to 63 lower-case letters, digits, `.`, `_` or `-`.
            InvalidInputError: it can't be rendered; names part and line; code `bad_template`.
            ConflictError: as `Policies.set`, or there are as many as a workspace may have.
        """
        require_admin(principal)
        if not _NAME.fullmatch(name):
            raise BadNameError("a template's name has 1 to 63 lower-case letters, digits, '.', '_' or '-'")
        check_note(note)
        made = self._made(principal, name, system, user, note)
        self.check(made)
        with self.database.write() as work:
            latest = work.templates.latest(principal.workspace_id, name)
            if latest is not None and (latest.system, latest.user, latest.note) == (system, user, note):
                return latest
            require_number(0 if latest is None else latest.number, if_number)
            if latest is None and len(work.templates.in_force(principal.workspace_id)) >= MAX_TEMPLATES:
                raise ConflictError(f"a workspace has at most {MAX_TEMPLATES} templates", code="too_many_templates")
            return _appended(work, made, latest)

    def draft(self, principal: Principal, system: str, user: str) -> TemplateVersion:
        """A template that is not stored, once it is seen that it can be rendered. Raises as `set`."""
        require_admin(principal)
        made = dataclasses.replace(self._made(principal, "draft", system, user, ""), number=0)
        self.check(made)
        return made

    def versions(self, principal: Principal, name: str, *, before: int | None, limit: int) -> list[TemplateVersion]:
        """Its versions, the newest first, the product's last. Raises as `get`."""
        require_admin(principal)
        with self.database.read() as work:
            self._in_force(work, principal, name)
            found = work.templates.page(principal.workspace_id, name, before=before, limit=limit)
        if name == self.default.name and len(found) < limit and before != 0:
            found.append(self.default)
        return found

    def rollback(
        self, principal: Principal, name: str, number: int, *, if_number: int | None = None
    ) -> TemplateVersion:
        """Write a new version that is equal to an old one, 0 for the product's. Raises as `set` and `get`."""
        require_admin(principal)
        with self.database.write() as work:
            latest = self._in_force(work, principal, name)
            builtin = number == 0 and name == self.default.name
            old = self.default if builtin else work.templates.get(principal.workspace_id, name, number)
            if old is None:
                raise NotFoundError(f"there is no version {number} of this template", code="template_not_found")
            self.check(old)  # what an older release took
            require_number(latest.number, if_number)
            made = self._made(principal, name, old.system, old.user, f"back to {number}")
            return _appended(work, made, latest)

    def _in_force(self, work: ReadWork, principal: Principal, name: str) -> TemplateVersion:
        found = work.templates.latest(principal.workspace_id, name) if _NAME.fullmatch(name) else None
        if found is None and name == self.default.name:
            return self.default
        if found is None:
            raise NotFoundError(f"no template named {name!r:.80} in this workspace", code="template_not_found")
        return found

    def _made(self, principal: Principal, name: str, system: str, user: str, note: str) -> TemplateVersion:
        return TemplateVersion(
            id=new_id(),
            workspace_id=principal.workspace_id,
            name=name,
            number=1,
            system=system,
            user=user,
            note=note,
            created_at=self.clock.now(),
            key_id=principal.key_id,
        )


def _appended(work: WriteWork, made: TemplateVersion, latest: TemplateVersion | None) -> TemplateVersion:
    numbered = dataclasses.replace(made, number=1 if latest is None else latest.number + 1)
    work.templates.append(numbered)
    work.commit()
    return numbered
