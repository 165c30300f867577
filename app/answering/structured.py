"""Output that meets a JSON schema, and where each of its fields comes from."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import regex

from app.domain.errors import InvalidInputError
from app.domain.models import ChatRequest, Message
from app.text import inert, personal

REPAIRS = 2  # times that a model is told what is wrong with its output
_MOST_SCHEMA_CHARS = 20_000
_MOST_DEPTH = 24
_MOST_EXPANDED = 3000  # parts of a schema whose references are unfolded: what a check of an output may walk
_MOST_FIELDS = 200  # of an output, that are looked for in the sources
_MOST_SAID_CHARS = 8000  # of wrong output, that a model is shown again
_PATTERN_SECONDS = 0.05  # for one `pattern`: it comes from a caller, and may be one that never ends
_FORMATS = ("date", "email", "ipv4", "ipv6", "regex", "uuid")  # that are checked without a further library
_FENCE = regex.compile(r"```(?:json)?\s*\n(.*?)\n?\s*```", regex.DOTALL)


def require_schema(schema: Mapping[str, Any]) -> None:
    """Return where it is a JSON Schema (2020-12) that can be used.

    Raises:
        InvalidInputError: it is none, is too large or too deep, or refers to what is outside of it.
    """
    import jsonschema  # noqa: PLC0415 - 60 ms, where a schema is given

    if len(json.dumps(schema)) > _MOST_SCHEMA_CHARS:
        raise InvalidInputError(f"response_schema has over {_MOST_SCHEMA_CHARS} characters", code="bad_schema")
    for depth, key, value in _walk(schema, 0):
        if depth > _MOST_DEPTH:
            raise InvalidInputError(f"response_schema is nested deeper than {_MOST_DEPTH}", code="bad_schema")
        if key == "patternProperties":
            raise InvalidInputError("response_schema: `patternProperties` is not taken", code="bad_schema")
        if key in ("$ref", "$dynamicRef") and not (isinstance(value, str) and value.startswith("#")):
            raise InvalidInputError("response_schema: `$ref` may only point into the schema itself", code="bad_schema")
    if _expanded(schema) > _MOST_EXPANDED:
        raise InvalidInputError(
            f"response_schema unfolds to over {_MOST_EXPANDED} parts, or a `$ref` of it leads back to itself",
            code="bad_schema",
        )
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "the whole of it"
        raise InvalidInputError(
            f"response_schema is no JSON Schema: {place}: {error.message[:300]}", code="bad_schema"
        ) from error


def _expanded(schema: Mapping[str, Any]) -> float:
    """How many parts there are with every `$ref` unfolded; infinite where one leads back to itself.

    Raises:
        InvalidInputError: a `$ref` leads nowhere.
    """
    known: dict[int, float] = {}
    under_way: set[int] = set()

    def of(value: object) -> float:
        if not isinstance(value, Mapping | list):
            return 0
        key = id(value)
        if key in under_way:
            return math.inf
        if key not in known:
            under_way.add(key)
            parts = value.values() if isinstance(value, Mapping) else value
            known[key] = 1 + sum(map(of, parts))
            if isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
                known[key] += of(_referred(schema, value["$ref"]))
            under_way.discard(key)
        return known[key]

    return of(schema)


def _referred(schema: Mapping[str, Any], reference: str) -> object:
    """What `#/a/b` points to."""
    if reference != "#" and not reference.startswith("#/"):
        raise InvalidInputError(
            f"response_schema: `$ref` {reference[:100]!r} names an anchor: only paths (`#/...`) are taken",
            code="bad_schema",
        )
    found: Any = schema
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise InvalidInputError(
                f"response_schema: `$ref` {reference[:100]!r} leads nowhere", code="bad_schema"
            ) from error
    return found


def parsed(text: str, schema: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The output, and None; or None, and what is wrong with it in one sentence."""
    fenced = None if text.lstrip().startswith(("{", "[")) else _FENCE.search(text)
    try:
        output = json.loads(fenced[1] if fenced else text, parse_constant=_refuse, parse_float=_finite)
        json.dumps(output, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    except (ValueError, RecursionError) as error:
        return None, f"it is not JSON: {error}"
    wrong = _first_wrong(output, schema)
    if wrong is None:
        quiet = hidden(output, inert.inert)
        if quiet != output and _first_wrong(quiet, schema) is not None:
            return None, "its strings may hold no links, images or mark-up"
        return quiet, None
    place = "/".join(map(str, wrong.absolute_path))
    return None, f"{'/' + place if place else 'the whole'}: {wrong.message[:300]}"


def briefly(wrong: str) -> str:
    """Where it is wrong, for a caller: the sentence may quote what a model wrote."""
    place = wrong.partition(":")[0][:100]
    return f"see {place}" if place.startswith("/") else place


def _first_wrong(output: object, schema: Mapping[str, Any]) -> Any | None:
    """The first place where the output does not meet the schema, a jsonschema.ValidationError; None where it does.

    Raises:
        InvalidInputError: the schema can't be checked against.
    """
    import jsonschema  # noqa: PLC0415 - 60 ms, where a schema is given

    validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})(
        schema, format_checker=jsonschema.FormatChecker(_FORMATS)
    )
    try:
        return next(iter(validator.iter_errors(output)), None)
    except (RecursionError, TimeoutError, ArithmeticError, regex.error) as error:
        raise InvalidInputError(f"response_schema can't be checked against: {error}", code="bad_schema") from error


def repaired(request: ChatRequest, said: str, wrong: str) -> ChatRequest:
    """The request once more, with what came of it and what is wrong with that."""
    told = f"This does not meet the schema: {wrong}. Write the JSON again, whole and corrected, and nothing else."
    messages = (
        *request.messages,
        Message(role="assistant", text=said[:_MOST_SAID_CHARS] or "{}"),
        Message(role="user", text=told),
    )
    return dataclasses.replace(request, messages=messages)


def as_text(output: object) -> str:
    """The output as the answer's text."""
    return json.dumps(output, ensure_ascii=False)


def hidden(output: Any, mask: Callable[[str], str]) -> Any:
    """The output with its strings and keys as `mask` gives them: without personal data, or without what acts."""
    if isinstance(output, dict):
        return {mask(key): hidden(each, mask) for key, each in output.items()}
    if isinstance(output, list):
        return [hidden(each, mask) for each in output]
    return mask(output) if isinstance(output, str) else output


def numbers_called(output: object) -> str | None:
    """The first place whose number is one of a telephone, card or account, as its key says; None where none is."""
    for pointer, names, value in _leaves(output, "", ()):
        if names and value.isdecimal() and personal.found(f"{names[-1]}: {value}"):
            return pointer
    return None


def emptied(output: Any, pointers: Collection[str], schema: Mapping[str, Any]) -> Any | None:
    """The output without the texts at these places; None where it meets the schema no more."""

    def without(value: Any, pointer: str) -> Any:
        if isinstance(value, dict):
            return {key: without(each, f"{pointer}/{_escaped(key)}") for key, each in value.items()}
        if isinstance(value, list):
            return [without(each, f"{pointer}/{place}") for place, each in enumerate(value)]
        return "" if pointer in pointers else value

    made = without(output, "")
    return made if _first_wrong(made, schema) is None else None


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def leaves(output: object) -> list[tuple[str, str, str]]:
    """Fields that hold a value: JSON Pointer, the words of its keys, and the value as text; the first 200."""
    found: list[tuple[str, str, str]] = []
    for pointer, names, value in _leaves(output, "", ()):
        if len(found) == _MOST_FIELDS:
            break
        found.append((pointer, " ".join(names).replace("_", " ").replace("-", " "), value))
    return found


def _leaves(value: object, pointer: str, names: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{pointer}/{_escaped(str(key))}", (*names, str(key)))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _leaves(each, f"{pointer}/{place}", names)
    elif isinstance(value, str) and value.strip():
        yield pointer, names, value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield pointer, names, str(value)


def _pattern(validator: Any, pattern: str, instance: object, schema: object) -> Iterator[Any]:
    import jsonschema  # noqa: PLC0415 - 60 ms, where a schema is given

    del validator, schema
    if isinstance(instance, str) and not regex.search(pattern, instance, timeout=_PATTERN_SECONDS):
        yield jsonschema.ValidationError(f"{instance!r} does not match {pattern!r}")


def _walk(value: object, depth: int) -> Iterator[tuple[int, str | None, object]]:
    if depth > _MOST_DEPTH:
        yield depth, None, value
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield depth, str(key), each
            yield from _walk(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            yield from _walk(each, depth + 1)


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse(number)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")
