"""What a workspace and its collections want of their answers: set, read, taken back, and what holds for a question."""

from __future__ import annotations

import dataclasses
import math
import re
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence

from app.domain.access import Principal
from app.domain.errors import ConflictError, InvalidInputError, NotFoundError
from app.domain.ids import new_id
from app.domain.policies import (
    InForce,
    Policy,
    PolicyVersion,
    TemplateVersion,
    holds_own_threshold,
    merged,
)
from app.domain.ports import Clock
from app.domain.repositories import Database, ReadWork
from app.gateway.keys import require_admin
from app.text import topics

WORKSPACE = "workspace"  # as labels name it
EXTRACTIVE = "extractive"  # the model that is always there
MAX_NOTE_CHARS = 500
_MAX_ROLE_CHARS = 2000
_MAX_TONE_CHARS = 200
_MAX_NAME_CHARS = 100  # of a model
_MAX_MODELS = 100
_MAX_TOPICS = 100
_MAX_TOPIC_CHARS = 100
_LONGEST_ANSWER = 1_000_000  # characters
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")  # BCP 47, by its form


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to hold, as a caller would have it."""

    policy: Policy | None = None  # of the workspace, or of `collection`
    collection: str | None = None
    template: TemplateVersion | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The use case; safe to call from many threads."""

    database: Database
    clock: Clock
    default_template: TemplateVersion  # the one that comes with the product; of every workspace
    known_models: Callable[[], Iterable[str]] | None = None  # names of the catalogue; None: there is no way to know

    def get(self, principal: Principal, collection: str | None) -> PolicyVersion | None:
        """The one in force of a collection, or of the workspace; None where none was set. Raises NotFoundError."""
        with self.database.read() as work:
            return work.policies.latest(principal.workspace_id, _scope(work, principal, collection))

    def set(
        self,
        principal: Principal,
        collection: str | None,
        policy: Policy,
        *,
        note: str = "",
        if_number: int | None = None,
    ) -> PolicyVersion:
        """Write a policy as the next version; where it is in force already, nothing is written.

        Args:
            principal: an admin.
            collection: its name; None for the workspace.
            policy: as a whole.
            note: why.
            if_number: of the version that the caller has read, 0 where there was none; None: whichever is in force.

        Raises:
            ForbiddenError: not an admin.
            NotFoundError: no such collection.
            InvalidInputError: a field is not well formed, or names a template that is not there; code `bad_policy`.
            ConflictError: another version is in force than `if_number`, or somebody sets one in this moment.
        """
        require_admin(principal)
        _check(policy)
        check_note(note)
        with self.database.write() as work:
            scope = _scope(work, principal, collection)
            _require_template(work, principal, policy, self.default_template)
            latest = work.policies.latest(principal.workspace_id, scope)
            if latest is not None and (latest.policy, latest.note) == (policy, note):
                return latest
            require_number(0 if latest is None else latest.number, if_number)
            made = self._next(principal, scope, latest, policy, note)
            work.policies.append(made)
            work.commit()
        return made

    def versions(
        self, principal: Principal, collection: str | None, *, before: int | None, limit: int
    ) -> list[PolicyVersion]:
        """Its versions, the newest first. Raises ForbiddenError where the caller is not an admin, and NotFoundError."""
        require_admin(principal)
        with self.database.read() as work:
            scope = _scope(work, principal, collection)
            return work.policies.page(principal.workspace_id, scope, before=before, limit=limit)

    def rollback(
        self, principal: Principal, collection: str | None, number: int, *, if_number: int | None = None
    ) -> PolicyVersion:
        """Write a new version that is equal to an old one. Raises as `set`; NotFoundError where there is no such version."""
        require_admin(principal)
        with self.database.write() as work:
            scope = _scope(work, principal, collection)
            old = work.policies.get(principal.workspace_id, scope, number)
            latest = work.policies.latest(principal.workspace_id, scope)
            if old is None or latest is None:
                raise NotFoundError(f"there is no version {number} of this policy", code="policy_not_found")
            require_number(latest.number, if_number)
            _require_template(work, principal, old.policy, self.default_template)
            made = self._next(principal, scope, latest, old.policy, f"back to {number}")
            work.policies.append(made)
            work.commit()
        return made

    def in_force(
        self,
        principal: Principal,
        collections: Sequence[str] | None,
        *,
        documents: Collection[uuid.UUID] = (),
        draft: Draft | None = None,
    ) -> InForce:
        """What holds for a question, the strictest of all that it touches.

        Args:
            principal: who asks.
            collections: that are asked, by name; None for all of the workspace. Unknown ones are left out.
            documents: others whose words enter the prompt, with turns: their collections' policies hold too.
            draft: what would hold if this were set.
        """
        with self.database.read() as work:
            found = work.policies.in_force(principal.workspace_id, collections, documents=list(documents))
            parts = _Parts(
                policies={version.collection_id: version.policy for version, _ in found},
                labels={version.collection_id: f"{name or WORKSPACE}@{version.number}" for version, name in found},
            )
            if draft is not None and draft.policy is not None:
                parts.add(_scope(work, principal, draft.collection), draft, collections)
            workspace = parts.policies.pop(None, None)
            of_collections: list[Policy | None] = list(parts.policies.values())
            if workspace is None and parts.policies:
                asked = _asked(work, principal, collections, documents)
                of_collections += [None for each in asked if each not in parts.policies]
            policy = merged(workspace, of_collections)
            template = draft.template if draft is not None else None
            return InForce(
                policy=policy,
                label=", ".join(parts.labels.values()) or None,
                template=template or self._template(work, principal, policy.template),
                own_threshold_too=holds_own_threshold(workspace, of_collections),
            )

    def preview(self, principal: Principal, collections: Sequence[str] | None, draft: Draft) -> InForce:
        """What would hold. Raises as `set`."""
        require_admin(principal)
        if draft.policy is not None:
            _check(draft.policy)
            with self.database.read() as work:
                _require_template(work, principal, draft.policy, self.default_template)
        return self.in_force(principal, collections, draft=draft)

    def warnings(self, policy: Policy) -> list[str]:
        """What a person who sets this policy should know: models that it names and the catalogue has not."""
        named = [*(policy.models or ()), *([policy.default_model] if policy.default_model else [])]
        named = [name for name in dict.fromkeys(named) if name != EXTRACTIVE]
        if not named:
            return []
        if self.known_models is None:
            return [f"it is not known whether there are models named {', '.join(named)}: no catalogue is read"]
        known = set(self.known_models())
        return [f"the catalogue has no model named {name}" for name in named if name not in known]

    def _next(
        self,
        principal: Principal,
        scope: uuid.UUID | None,
        latest: PolicyVersion | None,
        policy: Policy,
        note: str,
    ) -> PolicyVersion:
        return PolicyVersion(
            id=new_id(),
            workspace_id=principal.workspace_id,
            collection_id=scope,
            number=1 if latest is None else latest.number + 1,
            policy=policy,
            note=note,
            created_at=self.clock.now(),
            key_id=principal.key_id,
        )

    def _template(self, work: ReadWork, principal: Principal, name: str) -> TemplateVersion:
        """The one in force of a name; the product's where it is gone."""
        found = work.templates.latest(principal.workspace_id, name)
        return found or dataclasses.replace(self.default_template, workspace_id=principal.workspace_id)


def check_note(note: str) -> None:
    """Raise InvalidInputError where a note is too long, or holds what is no text."""
    _require_text("note", note, longest=MAX_NOTE_CHARS)


def require_number(latest: int, if_number: int | None) -> None:
    """Raise ConflictError where another version is in force than the caller has read."""
    if if_number is not None and if_number != latest:
        raise ConflictError(
            f"version {latest} is in force, not {if_number}: read it and set it again", code="version_changed"
        )


def _scope(work: ReadWork, principal: Principal, collection: str | None) -> uuid.UUID | None:
    if collection is None:
        return None
    found = work.collections.by_name(principal.workspace_id, collection)
    if found is None:
        raise NotFoundError(f"no collection named {collection!r:.80} in this workspace", code="unknown_collection")
    return found.id


@dataclasses.dataclass(slots=True, kw_only=True)
class _Parts:
    """The policies that a question touches, by scope, and how answers name them."""

    policies: dict[uuid.UUID | None, Policy]
    labels: dict[uuid.UUID | None, str]

    def add(self, scope: uuid.UUID | None, draft: Draft, asked: Sequence[str] | None) -> None:
        """Put a draft in the place of its scope's policy, where the question touches that."""
        if draft.policy is not None and (scope is None or asked is None or draft.collection in asked):
            self.policies[scope] = draft.policy
            self.labels[scope] = f"{draft.collection or WORKSPACE}@draft"


def _asked(
    work: ReadWork, principal: Principal, names: Sequence[str] | None, documents: Collection[uuid.UUID]
) -> set[uuid.UUID]:
    """The collections that a question touches."""
    asked = {each.id for each, _ in work.collections.named(principal.workspace_id, names)}
    return asked | {each.collection_id for each in work.documents.many(list(documents)).values()}


def _require_template(work: ReadWork, principal: Principal, policy: Policy, default: TemplateVersion) -> None:
    if policy.template != default.name and work.templates.latest(principal.workspace_id, policy.template) is None:
        raise _bad("template", f"there is no template named {policy.template!r:.80}: PUT /v1/templates/NAME makes one")


def _check(policy: Policy) -> None:
    """Raise InvalidInputError where a field is not well formed; names it."""
    _require_text("role", policy.role, longest=_MAX_ROLE_CHARS)
    _require_text("tone", policy.tone, longest=_MAX_TONE_CHARS)
    _require_text("template", policy.template, longest=_MAX_NAME_CHARS)
    if policy.language is not None and not _LANGUAGE.fullmatch(policy.language):
        raise _bad("language", "must be a BCP 47 tag, as `en` or `de-CH`")
    if policy.models is not None:
        _require_names("models", policy.models, most=_MAX_MODELS, longest=_MAX_NAME_CHARS)
    if policy.default_model is not None:
        _require_names("default_model", (policy.default_model,), most=1, longest=_MAX_NAME_CHARS)
        if policy.models is not None and policy.default_model not in (EXTRACTIVE, *policy.models):
            raise _bad("default_model", "must be one of `models`, or `extractive`")
    _require_names("refused_topics", policy.refused_topics, most=_MAX_TOPICS, longest=_MAX_TOPIC_CHARS)
    for topic in policy.refused_topics:
        if not topics.speaks(topic):
            raise _bad("refused_topics", f"{topic!r} holds no word")
    _require_range("minimum_support", policy.minimum_support, 0, 1)
    _require_range("max_answer_chars", policy.max_answer_chars, 1, _LONGEST_ANSWER)
    _require_range("max_cost_usd", policy.max_cost_usd, 0, math.inf)
    _require_range("daily_cost_usd", policy.daily_cost_usd, 0, math.inf)


def _require_text(name: str, text: str, *, longest: int) -> None:
    if len(text) > longest or not all(char.isprintable() or char in "\n\t" for char in text):
        raise _bad(name, f"may have at most {longest} characters, and no control characters")


def _require_names(name: str, values: Sequence[str], *, most: int, longest: int) -> None:
    if len(values) > most:
        raise _bad(name, f"may have at most {most} entries")
    if not all(0 < len(each.strip()) == len(each) <= longest and each.isprintable() for each in values):
        raise _bad(name, f"each has 1 to {longest} printable characters, and no space around it")
    if len(set(values)) < len(values):
        raise _bad(name, "names one twice")


def _require_range(name: str, value: float | None, least: float, most: float) -> None:
    if value is not None and not (math.isfinite(value) and least <= value <= most):
        raise _bad(name, f"must be at least {least}" if most == math.inf else f"must be from {least} to {most}")


def _bad(field: str, sentence: str) -> InvalidInputError:
    return InvalidInputError(f"{field}: {sentence}", code="bad_policy")
