"""The file of models: what it may say, and the sentence for what it may not."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from app.domain.errors import BadCatalogueError
from app.domain.models import Price, Tier
from app.inference.chat import catalogue, langchain_providers, llama_backend
from app.inference.chat.catalogue import Catalogue, Conduct

FULL = """
[[model]]
name = "gpt"
provider = "openai"
model = "gpt-4.1-mini"
api_key_env = "OPENAI_KEY"
tier = "small"
domains = ["finance", "law"]
context_tokens = 128000
output_tokens = 2000
price = {input = 0.4, output = 1.6, cached_input = 0.1}
first_token_seconds = 12
timeout_seconds = 50
concurrency = 32
queue = 64
queue_seconds = 3
retries = 1
hedge_after_seconds = 1.5
structured = false
options = {send_usage = false}

[[model]]
name = "own"
provider = "openai_compatible"
model = "llama-3"
api_key_env = "OWN_KEY"
options = {stream = false, send_usage = true}

[[model.endpoint]]
base_url = "http://gpu-1:8000/v1/"
weight = 3

[[model.endpoint]]
base_url = "https://gpu-2/v1"
api_key_env = "OTHER_KEY"
options = {send_usage = false}

[[model]]
name = "file"
provider = "llama"
model = "models/tiny.gguf"

[[embedder]]
name = "e5"
provider = "openai_compatible"
model = "intfloat/e5"
base_url = "http://gpu-1:8001/v1"
dimensions = 384
batch_size = 16
window_tokens = 500
query_prefix = "query: "

[[embedder]]
name = "bge"
provider = "sentence-transformers"
model = "bge-small"

[[reranker]]
name = "ms"
provider = "sentence-transformers"
model = "cross"

[[reranker]]
name = "far"
provider = "http"
model = "bge-reranker"
base_url = "http://gpu-1:8002"
form = "tei"

[prices]
own = {input = 1, output = 2}
"""
ENVIRON = {"OPENAI_KEY": "sk-1", "OWN_KEY": "sk-2"}
Read = Callable[[str], Catalogue]


@pytest.fixture
def read(tmp_path: pathlib.Path) -> Read:
    def written(text: str) -> Catalogue:
        path = tmp_path / "models.toml"
        path.write_text(text, encoding="utf-8")
        return catalogue.read(path, prices=None, environ=ENVIRON)

    return written


def test_a_model_is_as_the_file_says(read: Read) -> None:
    gpt = read(FULL).models[0]

    spec = gpt.spec
    assert (spec.name, spec.provider, spec.model, spec.tier) == ("gpt", "openai", "gpt-4.1-mini", Tier.SMALL)
    assert (spec.domains, spec.context_tokens, spec.output_tokens) == (("finance", "law"), 128000, 2000)
    assert spec.price == Price(input_usd=0.4, output_usd=1.6, cached_input_usd=0.1)
    assert (spec.first_token_seconds, spec.timeout_seconds, spec.concurrency, spec.queue) == (12, 50, 32, 64)
    assert (spec.structured, spec.local) == (False, False)
    assert gpt.conduct == Conduct(queue_seconds=3, retries=1, hedge_after_seconds=1.5)
    (only,) = gpt.endpoints
    assert (only.endpoint.api_key, only.endpoint.base_url, only.unset) == ("sk-1", None, None)
    assert dict(only.endpoint.options) == {"send_usage": False}
    assert (only.endpoint.first_token_seconds, only.endpoint.max_connections) == (12, 32)
    assert "sk-1" not in repr(gpt)


def test_endpoints_inherit_what_they_do_not_say_themselves(read: Read) -> None:
    own = read(FULL).models[1]

    one, two = own.endpoints
    assert (one.endpoint.base_url, one.endpoint.api_key, one.weight) == ("http://gpu-1:8000/v1", "sk-2", 3)
    assert (two.endpoint.base_url, two.endpoint.api_key, two.weight) == ("https://gpu-2/v1", None, 1)
    assert (one.unset, two.unset) == (None, "the environment variable OTHER_KEY is not set")
    assert dict(one.endpoint.options) == {"stream": False, "send_usage": True}
    assert dict(two.endpoint.options) == {"stream": False, "send_usage": False}
    assert own.spec.price == Price(input_usd=1, output_usd=2)


def test_a_file_in_the_process_is_looked_for_beside_the_catalogue(read: Read, tmp_path: pathlib.Path) -> None:
    assert read(FULL).models[2].endpoints[0].unset == "there is no file tiny.gguf where `model` says"

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.gguf").touch()

    model = read(FULL).models[2]
    assert (model.endpoints[0].unset, model.spec.local, model.spec.concurrency) == (None, True, 1)
    assert dict(model.endpoints[0].endpoint.options) == {"context_tokens": 8192}
    assert model.endpoints[0].endpoint.model == str(tmp_path / "models" / "tiny.gguf")


def test_embedders_and_rerankers_are_as_the_file_says(read: Read, tmp_path: pathlib.Path) -> None:
    (tmp_path / "cross").mkdir()

    found = read(FULL)

    e5, bge = found.embedders
    assert e5.remote is not None
    assert (e5.remote.base_url, e5.dimensions, e5.batch_size, e5.window_tokens) == (
        "http://gpu-1:8001/v1",
        384,
        16,
        500,
    )
    assert e5.query_prefix == "query: "
    assert (bge.name, bge.model, bge.remote) == ("bge", "bge-small", None)
    ms, far = found.rerankers
    assert (ms.model, ms.remote) == (str(tmp_path / "cross"), None)
    assert (far.model, far.form) == ("bge-reranker", "tei")


def test_a_second_file_overrides_prices(tmp_path: pathlib.Path) -> None:
    (tmp_path / "models.toml").write_text(FULL)
    prices = tmp_path / "prices.toml"
    prices.write_text("own = {input = 3, output = 4}\ngpt = {input = 5}\n")

    found = catalogue.read(tmp_path / "models.toml", prices=prices, environ=ENVIRON)

    assert [each.spec.price.input_usd for each in found.models] == [5, 3, 0]
    prices.write_text("gtp = {input = 5}\n")
    with pytest.raises(BadCatalogueError, match=r"^prices.toml: `gtp` is no model of the catalogue$"):
        catalogue.read(tmp_path / "models.toml", prices=prices, environ=ENVIRON)


def test_an_empty_file_is_an_empty_catalogue(read: Read) -> None:
    assert read("") == Catalogue()


GOOD = 'name = "gpt"\nprovider = "openai"\nmodel = "x"\n'
COMPATIBLE = 'name = "own"\nprovider = "openai_compatible"\nmodel = "x"\n'
LLAMA = 'name = "f"\nprovider = "llama"\nmodel = "x"\n'
REMOTE = 'provider = "openai_compatible"\nmodel = "x"\nbase_url = "http://e"\n'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f'[[model]]\n{GOOD}tier = "huge"', "model 1 (gpt): `tier` must be one of small, standard, strong"),
        (f"[[model]]\n{GOOD}[[model]]\n{GOOD}", "`model` has the name gpt twice"),
        ('[[model]]\nprovider = "openai"\nmodel = "x"', "model 1: `name` is missing"),
        (f'[[model]]\n{GOOD.replace("gpt", "extractive")}', "model 1 (extractive): `name` can't be extractive: that is the built-in answerer"),
        (f'[[model]]\n{GOOD.replace("gpt", "a b")}', "model 1 (a b): `name` has 1 to 64 letters"),
        (f'[[model]]\n{GOOD.replace("openai", "opnai")}', "model 1 (gpt): `provider` must be one of openai, openai_compatible"),
        (f'[[model]]\n{GOOD}api_key = "sk-secret"', "model 1 (gpt): `api_key` may not stand in a file"),
        (f'[[model]]\n{GOOD}options = {{"API-Key" = "sk-secret"}}', "model 1 (gpt), `options`: `API-Key` may not stand in a file"),
        (f'[[model]]\n{GOOD}api_key_env = "sk-secret"', "model 1 (gpt): `api_key_env` must be the name of an environment variable"),
        (f'[[model]]\n{GOOD}base_url = "https://me:sk-secret@h/v1"', "model 1 (gpt): `base_url` carries a user or a password"),
        (f'[[model]]\n{GOOD}base_url = "https://h/v1?key=sk-secret"', "model 1 (gpt): `base_url` must be an address"),
        (f'[[model]]\n{GOOD}base_url = "ftp://h"', "model 1 (gpt): `base_url` must be an address"),
        (f"[[model]]\n{GOOD}temprature = 1", "model 1 (gpt): `temprature` is not known here; known are api_key_env"),
        (f"[[model]]\n{GOOD}concurrency = 0", "model 1 (gpt): `concurrency` must be a whole number from 1 to 4096"),
        (f"[[model]]\n{GOOD}concurrency = true", "model 1 (gpt): `concurrency` must be a whole number"),
        (f"[[model]]\n{GOOD}timeout_seconds = 0", "model 1 (gpt): `timeout_seconds` must be more than 0"),
        (f"[[model]]\n{GOOD}timeout_seconds = nan", "model 1 (gpt): `timeout_seconds` must be a number"),
        (f'[[model]]\n{GOOD}domains = "law"', "model 1 (gpt): `domains` must be a list of strings"),
        (f"[[model]]\n{GOOD}structured = 1", "model 1 (gpt): `structured` must be true or false"),
        (f"[[model]]\n{GOOD}context_tokens = 1000\noutput_tokens = 1000", "model 1 (gpt): `output_tokens` must be less than `context_tokens`, 1000"),
        (f"[[model]]\n{GOOD}price = {{input = -1}}", "model 1 (gpt), `price`: `input` must be a number, 0 or more"),
        (f"[[model]]\n{GOOD}price = {{in = 1}}", "model 1 (gpt), `price`: `in` is not known here; known are cached_input, input, output"),
        (f"[[model]]\n{GOOD}price = 3", "model 1 (gpt): `price` must be a table"),
        (f"[[model]]\n{COMPATIBLE}", "model 1 (own): `base_url` is missing: openai_compatible has no address of its own"),
        (f'[[model]]\n{COMPATIBLE}[[model.endpoint]]\nbase_url = "http://a"\nwight = 1', "model 1 (own): endpoint 1: `wight` is not known here"),
        (f'[[model]]\n{COMPATIBLE}base_url = "http://a"\n[[model.endpoint]]\nbase_url = "http://b"', "model 1 (own): `base_url` stands in each [[model.endpoint]]"),
        (f"[[model]]\n{GOOD}options = {{a = [1]}}", "model 1 (gpt): `options.a` must be a string, a number, true or false"),
        (f"[[model]]\n{GOOD}options = {{nonsense_key = 3}}", "model 1 (gpt), `options`: `nonsense_key` is not known here; known are send_temperature, send_usage, stream"),
        (f'[[model]]\n{GOOD}options = {{model = "y", stream = false}}', "model 1 (gpt), `options`: `model` is not known here"),
        (f'[[model]]\n{GOOD}options = {{stream = "no"}}', "model 1 (gpt), `options`: `stream` must be true or false"),
        (f'[[model]]\n{COMPATIBLE}[[model.endpoint]]\nbase_url = "http://a"\noptions = {{region = "eu"}}', "model 1 (own): endpoint 1, `options`: `region` is not known here"),
        (f"[[model]]\n{LLAMA}options = {{n_ctx = 9}}", "model 1 (f), `options`: `n_ctx` is not known here; known are batch_tokens"),
        (f"[[model]]\n{LLAMA}options = {{threads = true}}", "model 1 (f), `options`: `threads` must be a whole number"),
        (f"[[model]]\n{LLAMA}options = {{context_tokens = 9}}", "model 1 (f), `options`: `context_tokens` stands in the model's own table"),
        (f"[[model]]\n{GOOD.replace('model =', 'modell =')}", "model 1 (gpt): `model` is missing, and `modell` is not known here"),
        (f"[[model]]\n{GOOD.replace('provider', 'provder')}", "model 1 (gpt): `provider` is missing, and `provder` is not known here; it is one of openai"),
        ('[[model]]\nname = "gpt"\nmodel = "x"\nprice = {input = 1}', "model 1 (gpt): `provider` is missing; it is one of openai"),
        ('[[model]]\nname = "f"\nprovider = "llama"\nmodel = "x"\nbase_url = "http://h"', "model 1 (f): `base_url` is not for a model in the process"),
        ("[[models]]\nname = 1", "models.toml: `models` is not known here; known are embedder, model, prices, reranker"),
        ("model = 3", "`model` must be a list of tables, each written [[model]]"),
        ("[prices]\nx = {input = 1}", "`prices`: `x` is no model of the catalogue"),
        (f'[[embedder]]\nname = "e"\n{REMOTE}', "embedder 1 (e): `dimensions` is missing"),
        (f'[[embedder]]\nname = "e"\n{REMOTE}dimensions = 0', "embedder 1 (e): `dimensions` must be a whole number from 1"),
        ('[[embedder]]\nname = "e"\nprovider = "openai"\nmodel = "x"', "embedder 1 (e): `provider` must be one of sentence-transformers, openai_compatible"),
        ('[[reranker]]\nname = "r"\nprovider = "http"\nmodel = "x"', "reranker 1 (r): `base_url` is missing"),
        ("[[model]", "models.toml is no TOML: "),
    ],
)  # fmt: skip
def test_what_is_not_as_it_must_be_is_named_by_file_table_and_key(read: Read, text: str, sentence: str) -> None:
    with pytest.raises(BadCatalogueError) as caught:
        read(text)

    assert sentence in caught.value.message
    assert caught.value.message.startswith("models.toml")
    assert "sk-secret" not in caught.value.message


def test_the_file_knows_each_option_that_its_backend_knows() -> None:
    in_process = set(llama_backend._RUN_OPTIONS) | {"queue"}

    assert set(catalogue.LLAMA_OPTIONS) == in_process - {"context_tokens"}
    assert set(catalogue.PROVIDERS) == {*langchain_providers.PROVIDERS, catalogue.LLAMA}
    assert all(langchain_providers.options_of(each) for each in langchain_providers.PROVIDERS)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BadCatalogueError, match="can't be read"):
        catalogue.read(tmp_path / "absent.toml", prices=None, environ={})
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadCatalogueError, match=r"bytes\.toml is not UTF-8"):
        catalogue.read(tmp_path / "bytes.toml", prices=None, environ={})
