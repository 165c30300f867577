"""The compose file and the Dockerfile: parsed, held to Procfile, with nothing that works without a secret."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import yaml

ROOT = pathlib.Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
OURS = ("migrate", "api", "worker", "beat")


def test_every_part_of_production_is_there() -> None:
    assert set(SERVICES) == {*OURS, "postgres", "rabbitmq", "redis", "qdrant", "files"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_an_image_has_a_pinned_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert re.fullmatch(r"[a-z]+(/[a-z]+)?:(v?\d+\.\d+(\.\d+)?|RELEASE\.[\dTZ-]+)", image), image


@pytest.mark.parametrize("name", OURS)
def test_our_commands_are_those_of_the_procfile(name: str) -> None:
    assert SERVICES[name]["command"] == PROCFILE[name]


@pytest.mark.parametrize("name", OURS)
def test_our_containers_have_a_read_only_root(name: str) -> None:
    assert SERVICES[name]["read_only"] is True
    assert SERVICES[name]["volumes"] == ["models:/var/lib/footnote"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"migrate"}))
def test_a_part_tells_its_health_and_has_a_limit(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["mem_limit"]


def test_our_parts_start_after_what_they_need() -> None:
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in ("api", "worker", "beat"):
        needs = SERVICES[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
        assert needs["rabbitmq"]["condition"] == "service_healthy"


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = re.findall(r"\$\{(\w*(?:PASSWORD|KEY)\w*)(.*?)\}", text)
    assert used
    for name, rest in used:
        assert rest.startswith(":?") or (name, rest) == ("REDIS_PASSWORD", ":-"), (
            name,
            rest,
        )  # an empty one refuses all
    for name, part in SERVICES.items():
        for variable, value in (part.get("environment") or {}).items():
            if re.search(r"PASS|SECRET|API_KEY", variable):
                assert "${" in str(value), (name, variable)


def test_volumes_are_named() -> None:
    used = {each.split(":")[0] for part in SERVICES.values() for each in part.get("volumes", ())}
    assert used == set(COMPOSE["volumes"])


def test_the_image_runs_as_a_user_without_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert sum(line.startswith("FROM ") for line in lines) == 2
    assert "USER 10001" in lines
    assert all(re.search(r":\d+\.\d+\.\d+", line) for line in lines if line.startswith("FROM "))
