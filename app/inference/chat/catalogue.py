"""The file of models: what it says, checked. A bad one is refused whole, in a sentence that names file, table and key."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import tomllib
from collections.abc import Iterable, Mapping

from app.domain.errors import BadCatalogueError
from app.domain.models import ModelSpec, Price, Tier
from app.inference import specs
from app.inference.chat import langchain_providers
from app.inference.chat.backend import Endpoint, Option
from app.inference.specs import EmbedderSpec, RerankerSpec
from app.inference.tables import Table

LLAMA = "llama"
OPENAI_COMPATIBLE = "openai_compatible"
_providers = "openai openai_compatible azure anthropic google bedrock mistral deepseek ollama llama"
PROVIDERS = tuple(_providers.split())
_ADDRESSED = ("openai_compatible", "azure")  # they have no address of their own
LLAMA_OPTIONS = frozenset({"batch_tokens", "threads", "gpu_layers", "seed", "queue"})
EXTRACTIVE = "extractive"  # the built-in answerer, whose name no model takes
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
_DEFAULTS = ModelSpec(name="", provider="", model="")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Conduct:
    """How patient a model's callers are made."""

    queue_seconds: float = 15.0  # longest wait for one of the model's places
    retries: int = 2  # further tries before the first piece, whatever the endpoints
    hedge_after_seconds: float | None = None  # of silence, after which a second endpoint is asked too; None: never


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredEndpoint:
    """One endpoint of a model."""

    endpoint: Endpoint
    weight: float = 1.0  # calls that it is given, against the others'
    unset: str | None = None  # why it can't be called


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredModel:
    """One model that writes."""

    spec: ModelSpec
    endpoints: tuple[DeclaredEndpoint, ...]
    conduct: Conduct = Conduct()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All that the file says."""

    models: tuple[DeclaredModel, ...] = ()
    embedders: tuple[EmbedderSpec, ...] = ()
    rerankers: tuple[RerankerSpec, ...] = ()


def read(path: pathlib.Path, *, prices: pathlib.Path | None, environ: Mapping[str, str]) -> Catalogue:
    """What the file says.

    Args:
        path: of the file; other paths in it are seen from its folder.
        prices: of a second file, `name = {input = ..., output = ...}` a line, which overrides its prices.
        environ: holds the keys.

    Raises:
        BadCatalogueError: it can't be read, or something in it is not as it must be.
    """
    root = _parsed(path)
    folder = path.resolve().parent
    models = [_model(table, environ, folder) for table in root.tables("model", "model", label="name")]
    models = _priced(models, root.table("prices"))
    if prices is not None:
        models = _priced(models, _parsed(prices))
    catalogue = Catalogue(
        models=tuple(models),
        embedders=tuple(specs.embedder(each, environ, folder) for each in _named(root, "embedder")),
        rerankers=tuple(specs.reranker(each, environ, folder) for each in _named(root, "reranker")),
    )
    root.end()
    _require_distinct(root, "model", (each.spec.name for each in models))
    _require_distinct(root, "embedder", (each.name for each in catalogue.embedders))
    _require_distinct(root, "reranker", (each.name for each in catalogue.rerankers))
    return catalogue


def _parsed(path: pathlib.Path) -> Table:
    try:
        return Table(tomllib.loads(path.read_text("utf-8")), path.name)
    except OSError as error:
        raise BadCatalogueError(f"{path} can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadCatalogueError(f"{path.name} is not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise BadCatalogueError(f"{path.name} is no TOML: {error}") from error


def _named(root: Table, key: str) -> list[Table]:
    return root.tables(key, key, label="name")


def _require_distinct(root: Table, key: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise root.refusal(key, f"has the name {name} twice")
        seen.add(name)


def _model(table: Table, environ: Mapping[str, str], folder: pathlib.Path) -> DeclaredModel:
    spec = _spec(table)
    endpoints = _endpoints(table, spec, environ, folder)
    conduct = Conduct(
        queue_seconds=table.seconds("queue_seconds", spec.first_token_seconds),
        retries=table.whole("retries", 2, least=0, most=5),
        hedge_after_seconds=table.optional_number("hedge_after_seconds"),
    )
    table.end()
    return DeclaredModel(spec=spec, endpoints=endpoints, conduct=conduct)


def _spec(table: Table) -> ModelSpec:
    name = table.required("name")
    if not _NAME.fullmatch(name):
        raise table.refusal("name", "has 1 to 64 letters, digits, `.`, `_`, `:` or `-`, a letter or digit first")
    if name == EXTRACTIVE:
        raise table.refusal("name", f"can't be {EXTRACTIVE}: that is the built-in answerer")
    provider = table.one_of("provider", PROVIDERS)
    local = provider == LLAMA
    context = table.whole("context_tokens", _DEFAULTS.context_tokens, least=256)
    output = table.whole("output_tokens", min(_DEFAULTS.output_tokens, context // 2))
    if output >= context:
        raise table.refusal("output_tokens", f"must be less than `context_tokens`, {context}: the prompt needs room")
    price = table.table("price")
    return ModelSpec(
        name=name,
        provider=provider,
        model=table.required("model"),
        tier=Tier(table.one_of("tier", [each.value for each in Tier], _DEFAULTS.tier.value)),
        domains=table.texts("domains"),
        context_tokens=context,
        output_tokens=output,
        price=Price() if price is None else _price(price),
        first_token_seconds=table.seconds("first_token_seconds", _DEFAULTS.first_token_seconds),
        timeout_seconds=table.seconds("timeout_seconds", _DEFAULTS.timeout_seconds),
        # A model in the process computes one answer at a time.
        concurrency=table.whole("concurrency", 1 if local else _DEFAULTS.concurrency, most=4096),
        queue=table.whole("queue", _DEFAULTS.queue, least=0, most=65_536),
        structured=table.truth("structured", default=True),
        local=local,
    )


def _endpoints(
    table: Table, spec: ModelSpec, environ: Mapping[str, str], folder: pathlib.Path
) -> tuple[DeclaredEndpoint, ...]:
    options = _options(table, spec)
    if spec.local:  # what is set aside for it; a server has its own limit
        options = {"context_tokens": spec.context_tokens, **options}
    common = table.variable("api_key_env")
    connect, idle = table.seconds("connect_seconds", 5.0), table.seconds("idle_seconds", 30.0)
    several = table.tables("endpoint", "endpoint")
    if several and "base_url" in table:
        raise table.refusal("base_url", "stands in each [[model.endpoint]] where there are some")
    if several and spec.local:
        raise table.refusal("endpoint", "is not for a model in the process")
    found: list[DeclaredEndpoint] = []
    for each in several or [table]:
        url = each.url("base_url")
        if url is None and spec.provider in _ADDRESSED:
            raise each.refusal("base_url", f"is missing: {spec.provider} has no address of its own")
        if url is not None and spec.local:
            raise each.refusal("base_url", "is not for a model in the process")
        key, unset = specs.key_of(each, environ, common)
        model, absent = _file(spec.model, folder) if spec.local else (spec.model, None)
        found.append(
            DeclaredEndpoint(
                endpoint=Endpoint(
                    provider=spec.provider,
                    model=model,
                    base_url=url,
                    api_key=key,
                    options=options if each is table else {**options, **_options(each, spec)},
                    connect_seconds=connect,
                    first_token_seconds=spec.first_token_seconds,
                    idle_seconds=idle,
                    max_connections=spec.concurrency,
                ),
                weight=1.0 if each is table else each.seconds("weight", 1.0),
                unset=unset or absent,
            )
        )
        if each is not table:
            each.end()
    return tuple(found)


def _options(table: Table, spec: ModelSpec) -> dict[str, Option]:
    """What the provider is told beside all else, each of a kind that it knows."""
    found = table.options("options")
    within = Table(found, f"{table.where}, `options`")
    if spec.local and "context_tokens" in within:
        raise within.refusal("context_tokens", "stands in the model's own table")
    for name in LLAMA_OPTIONS if spec.local else langchain_providers.options_of(spec.provider):
        if name in langchain_providers.TRUTHS:
            within.truth(name, default=True)
        elif spec.local or name in langchain_providers.NUMBERS:
            within.whole(name, 0, least=-1, most=2**32 - 1)  # -1: all layers, any seed
        else:
            within.text(name)
    within.end()
    return found


def _file(model: str, folder: pathlib.Path) -> tuple[str, str | None]:
    """The path of a model's file, and why it can't be used."""
    path = folder / pathlib.Path(model).expanduser()
    return str(path), None if path.is_file() else f"there is no file {path.name} where `model` says"


def _price(table: Table) -> Price:
    price = Price(
        input_usd=table.number("input", 0.0),
        output_usd=table.number("output", 0.0),
        cached_input_usd=table.optional_number("cached_input"),
    )
    table.end()
    return price


def _priced(models: list[DeclaredModel], prices: Table | None) -> list[DeclaredModel]:
    """The models with these prices over their own."""
    if prices is None:
        return models
    names = {each.spec.name for each in models}
    over: dict[str, Price] = {}
    for name in prices.keys():  # noqa: SIM118 - it is no mapping: asking for the keys makes them known
        if name not in names:
            raise prices.refusal(name, "is no model of the catalogue")
        table = prices.table(name)
        over[name] = Price() if table is None else _price(table)
    return [
        dataclasses.replace(each, spec=dataclasses.replace(each.spec, price=over.get(each.spec.name, each.spec.price)))
        for each in models
    ]
