"""How each provider's chat model is made by LangChain, and how a request is put to it.

Nothing of LangChain or of a provider's library is imported before a model is made. Every address and key is given, so
that no variable of the environment (OPENAI_BASE_URL, LANGSMITH_GATEWAY) sends a prompt elsewhere; retries are off, as
the layer above has its own.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from typing import Any

from app.domain.errors import ConfigurationError
from app.domain.models import ChatRequest
from app.inference.chat import bedrock_client
from app.inference.chat.backend import Endpoint

NO_KEY = "none"  # for servers that ask for none; the libraries insist on one
_AZURE_VERSION = "2024-10-21"  # the newest general release of Azure OpenAI's API before its `v1`
_GOOGLE_VERSION = "v1beta"  # of Gemini's API: the stable one knows no JSON schemas
# Of every provider: `stream = false` asks for the whole answer at once; `send_temperature = false` leaves it to the
# model, as those that reason demand; `send_usage = false` for servers that do not know `stream_options`.
_COMMON = frozenset({"stream", "send_temperature"})
TRUTHS = frozenset({"stream", "send_temperature", "send_usage", "instance_role"})  # options that are true or false
NUMBERS = frozenset({"num_ctx"})

MakeClient = Callable[..., Any]  # an httpx.AsyncClient of the library that is named first; keywords are its own


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One way to a model."""

    extra: str  # of this package, which brings what it needs
    package: str  # that it needs
    make: Callable[[Endpoint, MakeClient], Any]  # a LangChain chat model
    asked: Callable[[ChatRequest, Endpoint], dict[str, Any]]  # keywords of one call
    base_url: str | None = None  # its own address
    keyed: bool = True  # whether its own address wants a key
    options: frozenset[str] = frozenset()
    sums_usage: bool = False  # whether each piece tells what it adds, else all so far
    threaded: bool = False  # whether its library is synchronous


def find(endpoint: Endpoint) -> Provider:
    """The way to an endpoint, once its settings are known to be whole.

    Raises:
        ConfigurationError: an unknown provider or option, what is missing, or the extra that is to be installed.
    """
    provider = PROVIDERS.get(endpoint.provider)
    if provider is None:
        raise ConfigurationError(f"unknown provider {endpoint.provider!r}; there are {', '.join(sorted(PROVIDERS))}")
    of = f"model {endpoint.model!r} of {endpoint.provider}"
    known = options_of(endpoint.provider)
    if strange := sorted(set(endpoint.options) - known):
        raise ConfigurationError(f"{of}: unknown option {', '.join(strange)}; there are {', '.join(sorted(known))}")
    for package in ("langchain", provider.package):
        if importlib.util.find_spec(package) is None:
            raise ConfigurationError(f"{of} needs a package that is missing: pip install 'footnote[{provider.extra}]'")
    if endpoint.base_url is None and provider.base_url is None:
        raise ConfigurationError(f"{of} needs a base_url")
    if endpoint.base_url is None and provider.keyed and not endpoint.api_key:
        raise ConfigurationError(f"{of} needs a key")
    if provider.threaded:
        bedrock_client.check(endpoint)
    return provider


def options_of(provider: str) -> frozenset[str]:
    """The options that a provider knows."""
    return PROVIDERS[provider].options | _COMMON


def address(endpoint: Endpoint) -> str:
    """The base URL, its own or the provider's."""
    given = endpoint.base_url or PROVIDERS[endpoint.provider].base_url or ""
    return given.format(region=bedrock_client.region_of(endpoint)) if endpoint.provider == "bedrock" else given


def _init(name: str, endpoint: Endpoint, **parts: Any) -> Any:
    from langchain.chat_models import init_chat_model  # noqa: PLC0415 - an extra, and slow

    return init_chat_model(endpoint.model, model_provider=name, **parts)


def _openai(endpoint: Endpoint, client: MakeClient) -> Any:
    return _init(
        "openai",
        endpoint,
        base_url=address(endpoint),
        **_of_openai(endpoint, client),
    )


def _azure(endpoint: Endpoint, client: MakeClient) -> Any:
    return _init(
        "azure_openai",
        endpoint,
        azure_endpoint=address(endpoint),
        azure_deployment=str(endpoint.options.get("deployment", endpoint.model)),
        api_version=str(endpoint.options.get("api_version", _AZURE_VERSION)),
        **_of_openai(endpoint, client),
    )


def _deepseek(endpoint: Endpoint, client: MakeClient) -> Any:
    return _init("deepseek", endpoint, api_base=address(endpoint), **_of_openai(endpoint, client))


def _of_openai(endpoint: Endpoint, client: MakeClient) -> dict[str, Any]:
    return {
        "api_key": endpoint.api_key or NO_KEY,
        "max_retries": 0,
        "use_responses_api": False,
        "stream_usage": endpoint.options.get("send_usage", True) is not False,
        "stream_chunk_timeout": None,
        "http_async_client": client("httpx2"),
    }


def _anthropic(endpoint: Endpoint, client: MakeClient) -> Any:
    key = endpoint.api_key or NO_KEY
    model = _init("anthropic", endpoint, api_key=key, base_url=address(endpoint), max_retries=0)
    library = importlib.import_module("anthropic")
    # The model's own comes from a cache that all models of one address share, so one could not be closed.
    model.__dict__["_async_client"] = library.AsyncAnthropic(
        api_key=key, base_url=address(endpoint), max_retries=0, http_client=client("httpx2")
    )
    return model


def _google(endpoint: Endpoint, client: MakeClient) -> Any:
    library = importlib.import_module("google.genai")
    key = endpoint.api_key or NO_KEY
    url = address(endpoint)
    model = _init("google_genai", endpoint, api_key=key, base_url=url, max_retries=1, vertexai=False)
    model.client = library.Client(
        api_key=key,
        vertexai=False,
        http_options=library.types.HttpOptions(
            base_url=url, api_version=_GOOGLE_VERSION, httpx_async_client=client("httpx2")
        ),
    )
    return model


def _mistral(endpoint: Endpoint, client: MakeClient) -> Any:
    key = endpoint.api_key or NO_KEY
    headers = {"Accept": "application/json", "Authorization": f"Bearer {key}"}
    return _init(
        "mistralai",
        endpoint,
        api_key=key,
        base_url=address(endpoint),
        max_retries=1,  # attempts
        async_client=client("httpx", base_url=address(endpoint), headers=headers),
    )


def _ollama(endpoint: Endpoint, client: MakeClient) -> Any:
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    model = _init("ollama", endpoint, base_url=address(endpoint), client_kwargs={"headers": headers})
    sdk = model._async_client  # noqa: SLF001 - it takes no client of ours, but the client's own keywords
    sdk._client = client("httpx", base_url=sdk._client.base_url, headers=sdk._client.headers)  # noqa: SLF001
    return model


def _bedrock(endpoint: Endpoint, _client: MakeClient) -> Any:
    aws = bedrock_client.make(endpoint, address(endpoint))
    known = {name: str(endpoint.options[name]) for name in ("provider", "base_model") if name in endpoint.options}
    # The control plane is asked for the models of an inference profile only, and these are named by options here.
    return _init("bedrock_converse", endpoint, client=aws, bedrock_client=aws, disable_streaming=False, **known)


def _ask_openai(request: ChatRequest, endpoint: Endpoint) -> dict[str, Any]:
    # In `extra_body`, as the library's own path for `response_format` parses the JSON anew at every piece, and raises
    # where it was cut by the limit of tokens.
    body = {"response_format": _json_schema(request)} if request.json_schema is not None else {}
    return {
        "max_tokens": request.max_tokens,
        **_temperature(request, endpoint),
        **({"extra_body": body} if body else {}),
    }


def _ask_compatible(request: ChatRequest, endpoint: Endpoint) -> dict[str, Any]:
    body: dict[str, Any] = {"max_tokens": request.max_tokens}  # many do not know `max_completion_tokens`
    if request.json_schema is not None:
        body["response_format"] = _json_schema(request)
    return {**_temperature(request, endpoint), "extra_body": body}


def _ask_deepseek(request: ChatRequest, endpoint: Endpoint) -> dict[str, Any]:
    # It has no schemas, only "some JSON object"; `messages` tells it of the schema.
    body = {"extra_body": {"response_format": {"type": "json_object"}}} if request.json_schema is not None else {}
    return {"max_tokens": request.max_tokens, **_temperature(request, endpoint), **body}


def _ask_with_format(request: ChatRequest, endpoint: Endpoint) -> dict[str, Any]:
    asked = {"response_format": _json_schema(request)} if request.json_schema is not None else {}
    return {"max_tokens": request.max_tokens, **_temperature(request, endpoint), **asked}


def _ask_google(request: ChatRequest, endpoint: Endpoint) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if request.json_schema is not None:
        asked = {"response_mime_type": "application/json", "response_json_schema": dict(request.json_schema)}
    return {"max_output_tokens": request.max_tokens, **_temperature(request, endpoint), **asked}


def _ask_ollama(request: ChatRequest, endpoint: Endpoint) -> dict[str, Any]:
    options: dict[str, Any] = {"num_predict": request.max_tokens, **_temperature(request, endpoint)}
    if "num_ctx" in endpoint.options:
        options["num_ctx"] = endpoint.options["num_ctx"]
    asked = {"format": dict(request.json_schema)} if request.json_schema is not None else {}
    return {"options": options, **asked}


def _temperature(request: ChatRequest, endpoint: Endpoint) -> dict[str, Any]:
    return {} if endpoint.options.get("send_temperature", True) is False else {"temperature": request.temperature}


def _json_schema(request: ChatRequest) -> dict[str, Any]:
    schema = dict(request.json_schema or {})
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": is_strict(schema)}}


def is_strict(schema: Any) -> bool:
    """Whether OpenAI takes it as strict: every object closed, with all of its properties required."""
    if isinstance(schema, list):
        return all(is_strict(each) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        names = set(properties) if isinstance(properties, Mapping) else set()
        if schema.get("additionalProperties") is not False or names != set(schema.get("required") or ()):
            return False
    inner = properties.values() if isinstance(properties, Mapping) else ()
    rest = (value for name, value in schema.items() if name not in ("properties", "enum", "const", "default"))
    return all(is_strict(each) for each in (*inner, *rest))


def messages(request: ChatRequest, endpoint: Endpoint) -> list[Any]:
    """The prompt as LangChain has it."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage  # noqa: PLC0415 - an extra, and slow

    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    made = [kinds[each.role](content=each.text) for each in request.messages]
    if endpoint.provider == "deepseek" and request.json_schema is not None:
        schema = json.dumps(request.json_schema, ensure_ascii=False)
        made.append(SystemMessage(content=f"Answer with one JSON object that meets this JSON Schema: {schema}"))
    return made


_OPENAI = frozenset({"send_usage"})
PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider(
        extra="openai",
        package="langchain_openai",
        make=_openai,
        asked=_ask_openai,
        base_url="https://api.openai.com/v1",
        options=_OPENAI,
    ),
    "openai_compatible": Provider(
        extra="openai", package="langchain_openai", make=_openai, asked=_ask_compatible, options=_OPENAI
    ),
    "azure": Provider(
        extra="openai",
        package="langchain_openai",
        make=_azure,
        asked=_ask_openai,
        options=_OPENAI | {"api_version", "deployment"},
    ),
    "anthropic": Provider(
        extra="anthropic",
        package="langchain_anthropic",
        make=_anthropic,
        asked=_ask_with_format,
        base_url="https://api.anthropic.com",
    ),
    "google": Provider(
        extra="google",
        package="langchain_google_genai",
        make=_google,
        asked=_ask_google,
        base_url="https://generativelanguage.googleapis.com",
        sums_usage=True,
    ),
    "bedrock": Provider(
        extra="bedrock",
        package="langchain_aws",
        make=_bedrock,
        asked=_ask_with_format,
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        keyed=False,
        options=bedrock_client.OPTIONS,
        threaded=True,
    ),
    "mistral": Provider(
        extra="mistral",
        package="langchain_mistralai",
        make=_mistral,
        asked=_ask_with_format,
        base_url="https://api.mistral.ai/v1",
    ),
    "deepseek": Provider(
        extra="deepseek",
        package="langchain_deepseek",
        make=_deepseek,
        asked=_ask_deepseek,
        base_url="https://api.deepseek.com/v1",
        options=_OPENAI,
    ),
    "ollama": Provider(
        extra="ollama",
        package="langchain_ollama",
        make=_ollama,
        asked=_ask_ollama,
        base_url="http://127.0.0.1:11434",
        keyed=False,
        options=frozenset({"num_ctx"}),
    ),
}
