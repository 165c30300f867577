"""Models by the sentence-transformers library: what is refused, with which sentence. The rest is the contract's."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys

import pytest

from app.domain.errors import ConfigurationError
from app.inference import catalogue

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is None, reason="the extra `models` is not installed"
)


def test_without_the_library_the_error_names_the_extra() -> None:
    program = """
import pathlib, sys
sys.modules["sentence_transformers"] = None  # as if it were not installed
from app.domain.errors import ConfigurationError
from app.inference import catalogue
try:
    catalogue.create(name="any/model", cache_folder=pathlib.Path("cache"))
except ConfigurationError as error:
    print(error)
"""
    root = pathlib.Path(__file__).parents[2]

    ended = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == (
        "the embedder 'any/model' needs sentence-transformers: pip install 'footnote[models]'"
    )


@needs_library
def test_a_model_that_is_not_here_is_not_fetched() -> None:
    with pytest.raises(ConfigurationError, match="not on this machine, and downloads are not allowed"):
        catalogue.create(name="footnote-tests/absent-model", cache_folder=pathlib.Path("cache"))


@needs_library
def test_a_folder_without_a_model_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be loaded"):
        catalogue.create(name=str(tmp_path), cache_folder=tmp_path)
