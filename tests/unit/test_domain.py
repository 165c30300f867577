"""The rules that everything else stands on."""

from __future__ import annotations

import random
import uuid

import pytest

from app.domain import filters
from app.domain.access import ADMINS, EVERYONE, Principal, Role, meet, scope
from app.domain.errors import BadFilterError
from app.domain.ids import new_id
from app.domain.retry import RetryPolicy


def _principal(role: Role, *, user: str | None = None, groups: tuple[str, ...] = ()) -> Principal:
    return Principal(workspace_id=uuid.uuid4(), key_id=None, role=role, user=user, groups=groups)


def test_ids_rise_and_are_of_version_7() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert {each.version for each in ids} == {7}


def test_a_role_includes_those_below_it() -> None:
    assert Role.ADMIN.includes(Role.EDITOR)
    assert Role.EDITOR.includes(Role.READER)
    assert not Role.READER.includes(Role.EDITOR)


def test_only_admins_pass_readers() -> None:
    assert _principal(Role.ADMIN).may_read(["user:ann"])
    assert not _principal(Role.EDITOR).may_read(["user:ann"])
    assert _principal(Role.READER, user="ann").may_read(["user:ann", "group:legal"])
    assert _principal(Role.READER, groups=("legal",)).may_read(["group:legal"])
    assert _principal(Role.READER).may_read([EVERYONE])


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        (["*"], ["user:a"], ("user:a",)),
        (["user:a"], ["*"], ("user:a",)),
        (["user:a", "user:b"], ["user:b", "user:c"], ("user:b",)),
        (["user:a"], ["user:b"], ()),
        (["*"], ["*"], ("*",)),
    ],
)
def test_two_lists_of_readers_meet_in_those_whom_both_admit(
    left: list[str], right: list[str], both: tuple[str, ...]
) -> None:
    assert meet(left, right) == both


def test_a_point_is_open_to_its_readers_and_to_admins() -> None:
    index = uuid.uuid4()
    assert scope(index, ["user:a"]) == [f"{index}/user:a", f"{index}/{ADMINS}"]


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "year",
        {},
        {"type": "eq"},
        {"type": "eq", "key": "", "value": 1},
        {"type": "eq", "key": "a" * 65, "value": 1},
        {"type": "eq", "key": "a", "value": None},
        {"type": "eq", "key": "a", "value": [1]},
        {"type": "eq", "key": "a", "value": float("nan")},
        {"type": "eq", "key": "a", "value": "x" * 513},
        {"type": "eq", "key": "a", "value": 1, "more": 2},
        {"type": "gt", "key": "a", "value": True},
        {"type": "in", "key": "a", "value": "abc"},
        {"type": "in", "key": "a", "value": []},
        {"type": "in", "key": "a", "value": list(range(257))},
        {"type": "and", "filters": []},
        {"type": "and", "filters": "abc"},
        {"type": "xor", "filters": [{"type": "eq", "key": "a", "value": 1}]},
        {"type": "and", "filters": [{"type": "eq", "key": "a", "value": 1}] * 65},
    ],
)
def test_a_filter_that_is_not_well_formed_is_refused(raw: object) -> None:
    with pytest.raises(BadFilterError):
        filters.parse(raw)


def test_an_unknown_type_is_what_is_wrong_whatever_else_is() -> None:
    for raw in ({"type": "like"}, {"type": "like", "value": 1}, {"type": "xor", "filters": []}, {}):
        with pytest.raises(BadFilterError, match="`type` is one of eq, ne"):
            filters.parse(raw)


def test_a_filter_nests_only_so_deep() -> None:
    raw: dict[str, object] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(filters.MAX_DEPTH):
        raw = {"type": "and", "filters": [raw]}
    with pytest.raises(BadFilterError):
        filters.parse(raw)


@pytest.mark.parametrize(
    ("raw", "metadata", "passes"),
    [
        ({"type": "eq", "key": "a", "value": 1}, {"a": 1.0}, True),
        ({"type": "eq", "key": "a", "value": 1}, {"a": True}, False),
        ({"type": "eq", "key": "a", "value": "1"}, {"a": 1}, False),
        ({"type": "ne", "key": "a", "value": 1}, {}, True),
        ({"type": "nin", "key": "a", "value": [1]}, {}, True),
        ({"type": "lt", "key": "a", "value": 1}, {}, False),
        ({"type": "gt", "key": "a", "value": "2024-01"}, {"a": "2024-01-31"}, True),
        ({"type": "gt", "key": "a", "value": 1}, {"a": "2"}, False),
        ({"type": "lte", "key": "a", "value": 2**53}, {"a": 2**53 + 1}, False),
        ({"type": "eq", "key": "a", "value": 10**400}, {"a": 10**400}, True),
    ],
)
def test_a_filter_means_the_same_everywhere(raw: object, metadata: dict[str, filters.Scalar], *, passes: bool) -> None:
    assert filters.matches(filters.parse(raw), metadata) is passes


def test_metadata_are_the_same_only_kind_by_kind() -> None:
    assert filters.same({"a": 1}, {"a": 1.0})
    assert not filters.same({"a": 1}, {"a": True})
    assert not filters.same({"a": 1}, {"a": 1, "b": 2})


def test_back_off_grows_is_capped_and_never_nothing() -> None:
    policy = RetryPolicy(attempts=3, base_seconds=1.0, cap_seconds=10.0)
    rng = random.Random(1)
    for failures in range(1, 50):
        delay = policy.delay_seconds(failures, rng=rng)
        step = min(10.0, 2.0 ** (failures - 1))
        assert step / 2 <= delay <= step
    assert not policy.exhausted(2)
    assert policy.exhausted(3)
