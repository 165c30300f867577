"""The house keeps its rules: every module in a layer, every setting and link in the README."""

from __future__ import annotations

import pathlib
import re
import tomllib

import pytest

from app.settings import Settings

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_OUTSIDE = {"app", "ingestion", "workers", "app.web"}  # packages that only hold others, and files for the browser


def _layers() -> set[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each["type"] == "layers")
    return {name.strip() for line in layers for name in line.split("|")}


def _modules() -> list[str]:
    paths = [path for top in ("app", "ingestion", "workers") for path in (ROOT / top).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return sorted(set(names) - _OUTSIDE)


@pytest.mark.parametrize("module", _modules())
def test_a_module_stands_in_a_layer(module: str) -> None:
    parts = module.split(".")
    assert {".".join(parts[:n]) for n in range(1, len(parts) + 1)} & _layers()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(((?!https?:|#)[^)\s]+)\)", README))))
def test_a_link_in_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link.partition("#")[0]).exists()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_a_setting_is_listed_in_the_readme(name: str) -> None:
    assert f"`FOOTNOTE_{name.upper()}`" in README


def test_the_readme_lists_no_setting_that_does_not_exist() -> None:
    listed = set(re.findall(r"^\| `FOOTNOTE_([A-Z0-9_]+)`", README, re.MULTILINE))
    assert {name.lower() for name in listed} == set(Settings.model_fields)
