"""A grammar in llama.cpp's form (GBNF) of the JSON that a JSON Schema allows: a model held to it can write nothing else.

What a grammar can't say in reasonable size is left out: `pattern`, `not`, `if`, `uniqueItems`, `multipleOf`, formats but
date, time and uuid, `oneOf` whose alternatives overlap, and whole numbers of more than 15 digits. So who asked still validates.
Properties come in the order of the schema. Undeclared ones are written only where none is declared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.domain.errors import ModelRefusedError
from app.inference.chat.number_grammar import Bounds, integers, numbers

_MOST_RULES: Final = 2_000  # a schema that needs more is a mistake or an attack
_DEEPEST: Final = 100
_MOST_REPEATED: Final = 500  # llama.cpp writes repetitions out, and refuses those that come to over 2,000 rules

_BUILTIN: Final = {
    "space": r'(" " | "\n" [ \t]{0,20})?',
    # No control characters, which JSON forbids; no \u, by which half a surrogate pair could be written.
    "char": r'[ !#-\[\]-~\u00A0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF] | "\\" ["\\/bfnrt]',
    "string": r'"\"" char* "\""',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "integer": integers(Bounds()),
    "number": numbers(Bounds()),
    "member": 'string ":" space value',
    "object": '"{" space (member ("," space member)* space)? "}"',
    "array": '"[" space (value ("," space value)* space)? "]"',
    "value": "object | array | string | number | boolean | null",
    "date": '"\\"" day "\\""',
    "time": '"\\"" hour "\\""',
    "date-time": '"\\"" day "T" hour "\\""',
    "uuid": r'"\"" hex{8} "-" hex{4} "-" hex{4} "-" hex{4} "-" hex{12} "\""',
    "hex": "[0-9a-f]",
    "day": '[1-2] [0-9]{3} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | "1" [0-9] | "2" [0-8])',
    "hour": '("0" [0-9] | "1" [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] "Z"',
}
_KINDS: Final = ("object", "array", "string", "number", "integer", "boolean", "null")
_FORMATS: Final = ("date", "time", "date-time", "uuid")
# Keywords that tell the type where the schema does not name it.
_TELLING: Final = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}

Schema = Mapping[str, Any] | bool


def from_schema(schema: Mapping[str, Any]) -> str:
    """The grammar; its first rule is `root`.

    Raises:
        ModelRefusedError: the schema allows nothing, refers to what is not there, or is too large.
    """
    return _Writer(schema).text()


class _Writer:
    """Collects rules; each method gives an expression that stands for what it was asked."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._rules: dict[str, str] = {}  # name -> body
        self._names: dict[str, str] = {}  # body -> name
        self._refs: dict[str, str] = {}  # reference -> name of its rule
        self._depth = 0

    def text(self) -> str:
        root = self._value(self._schema)
        used = _needed([root, *self._rules.values()])
        lines = [f"root ::= {root}", *(f"{name} ::= {body}" for name, body in self._rules.items())]
        return "\n".join(lines + [f"{name} ::= {_BUILTIN[name]}" for name in used]) + "\n"

    def _rule(self, body: str) -> str:
        if body in self._names:
            return self._names[body]
        name = self._reserve()
        self._rules[name] = body
        self._names[body] = name
        return name

    def _reserve(self) -> str:
        if len(self._rules) + len(self._refs) >= _MOST_RULES:
            raise _refused("is too large for a grammar")
        name = f"r{len(self._rules)}x{len(self._refs)}"
        self._rules[name] = ""
        return name

    def _value(self, schema: Schema) -> str:
        if schema is True or schema == {}:
            return "value"
        if schema is False or not isinstance(schema, Mapping):
            raise _refused("allows nothing at some place")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _refused(f"goes deeper than {_DEEPEST} levels")
        try:
            return self._of_keywords(schema)
        finally:
            self._depth -= 1

    def _of_keywords(self, schema: Mapping[str, Any]) -> str:
        if "$ref" in schema:
            return self._reference(schema)
        if "allOf" in schema:
            return self._value(_merged(_without(schema, "allOf"), *(self._followed(each) for each in schema["allOf"])))
        for choice in ("anyOf", "oneOf"):
            if choice in schema:
                base = _without(schema, choice)
                alternatives = [_merged(base, self._followed(each)) if base else each for each in schema[choice]]
                return self._union([self._value(each) for each in alternatives if each is not False])
        if "const" in schema or "enum" in schema:
            return self._union([_literal(each) for each in schema.get("enum", [schema.get("const")])])
        kind = schema.get("type") or _told(schema)
        if isinstance(kind, Sequence) and not isinstance(kind, str):
            return self._union([self._value({**schema, "type": each}) for each in kind])
        return self._of_kind(kind, schema)

    def _of_kind(self, kind: str | None, schema: Mapping[str, Any]) -> str:
        match kind:
            case None:
                return "value"
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return self._string(schema)
            case "integer" | "number" if (bounds := Bounds.of(schema)) != Bounds():
                body = (integers if kind == "integer" else numbers)(bounds)
                if not body and kind == "integer":
                    raise _refused("allows no number at some place")
                return self._rule(body) if body else kind
            case _ if kind in _KINDS:
                return str(kind)
            case _:
                raise _refused(f"names the unknown type {kind!r}")

    def _union(self, alternatives: Sequence[str]) -> str:
        if not alternatives:
            raise _refused("allows nothing at some place")
        return alternatives[0] if len(alternatives) == 1 else self._rule(" | ".join(dict.fromkeys(alternatives)))

    def _reference(self, schema: Mapping[str, Any]) -> str:
        ref = str(schema["$ref"])
        beside = {key: value for key, value in schema.items() if key != "$ref" and key not in _ANNOTATIONS}
        if beside:
            return self._value(_merged(beside, self._target(ref)))
        if ref not in self._refs:
            name = self._reserve()
            self._refs[ref] = name  # before its body, which may refer to it again
            self._rules[name] = self._value(self._target(ref))
            if self._rules[name] == name:
                raise _refused(f"refers in a circle: {ref}")
        return self._refs[ref]

    def _followed(self, schema: Schema) -> Schema:
        """What a schema says that is only a reference, so that it can be merged."""
        for _ in range(_DEEPEST):
            if not isinstance(schema, Mapping) or set(schema) - _ANNOTATIONS != {"$ref"}:
                return schema
            schema = self._target(str(schema["$ref"]))
        raise _refused("refers in a circle")

    def _target(self, ref: str) -> Any:
        if not ref.startswith("#"):
            raise _refused(f"refers to another document: {ref}")
        at: Any = self._schema
        for step in ref.removeprefix("#").split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(at, Mapping) or key not in at:
                raise _refused(f"refers to what is not there: {ref}")
            at = at[key]
        return at

    def _object(self, schema: Mapping[str, Any]) -> str:
        declared = dict(schema.get("properties", {}))
        others = schema.get("additionalProperties", True)
        required = set(schema.get("required", ()))
        declared |= {name: others for name in schema.get("required", ()) if name not in declared}
        if not declared:
            if others is False:
                return '"{" space "}"'
            member = self._rule(f'string ":" space {self._value(others)}')
            several = f'{member} ("," space {member})* space'
            return self._rule(f'"{{" space {several if schema.get("minProperties") else f"({several})?"} "}}"')
        members = [
            (self._rule(f'{_literal(name)} ":" space {self._value(each)}'), name in required)
            for name, each in declared.items()
            if each is not False or name in required
        ]
        first = self._members(members)
        return self._rule(f'"{{" space {f"{first} space" if required else f"({first} space)?" if first else ""} "}}"')

    def _members(self, members: Sequence[tuple[str, bool]]) -> str:
        """Those that are required, and any of the others, in their order."""
        first = more = ""  # what may come where no member stands before, and where one does
        for member, is_required in reversed(members):
            begun = f"{member} {more}".rstrip()
            first = self._rule(begun if is_required or not first else f"{begun} | {first}")
            here = f'"," space {member}'
            more = self._rule(f"{here if is_required else f'({here})?'} {more}".rstrip())
        return first

    def _array(self, schema: Mapping[str, Any]) -> str:
        least = int(schema.get("minItems", 0))
        most = int(schema["maxItems"]) if "maxItems" in schema else None
        if most is not None and most < least:
            raise _refused("asks for more items than it allows")
        prefix = [self._value(each) for each in schema.get("prefixItems", ())][:most]
        if not prefix:
            if most == 0 or schema.get("items") is False:
                return '"[" space "]"'
            return self._rule(f'"[" space {_listed(self._value(schema.get("items", True)), least, most)} "]"')
        body = ' "," space '.join(prefix)
        if least > len(prefix):
            item = self._value(schema.get("items", True))
            body += f' ("," space {item}){_times(least - len(prefix), None if most is None else most - len(prefix))}'
        return self._rule(f'"[" space {body} space "]"')

    def _string(self, schema: Mapping[str, Any]) -> str:
        if schema.get("format") in _FORMATS:
            return str(schema["format"])
        least = int(schema.get("minLength", 0))
        most = int(schema["maxLength"]) if "maxLength" in schema else None
        if most is not None and most < least:
            raise _refused("asks for more characters than it allows")
        if most == 0:
            return _literal("")
        return "string" if not least and most is None else self._rule(rf'"\"" char{_times(least, most)} "\""')


_ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "$comment", "$schema", "$id", "$defs", "definitions"}
)


def _listed(item: str, least: int, most: int | None) -> str:
    """That many items with commas between them, and the space before the bracket."""
    further = _times(max(least - 1, 0), None if most is None else most - 1)
    several = item if further == "{0,0}" else f'{item} ("," space {item}){further}'
    return f"{several} space" if least else f"({several} space)?"


def _times(least: int, most: int | None) -> str:
    least = min(least, _MOST_REPEATED)
    return f"{{{least},}}" if most is None or most > _MOST_REPEATED else f"{{{least},{most}}}"


def _told(schema: Mapping[str, Any]) -> str | None:
    return next((kind for kind, keywords in _TELLING.items() if any(each in schema for each in keywords)), None)


def _without(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != keyword and key not in _ANNOTATIONS}


def _merged(*parts: Schema) -> Schema:
    """One schema that asks for what each asks; of a keyword that can't be joined the last one's word holds."""
    whole: dict[str, Any] = {}
    for part in parts:
        if part is True:
            continue
        if not isinstance(part, Mapping):
            return False
        for key, value in part.items():
            if key == "properties" and key in whole:
                both = {name: _merged(whole[key][name], value[name]) for name in whole[key].keys() & value.keys()}
                whole[key] = {**whole[key], **value, **both}
            elif key == "required" and key in whole:
                whole[key] = [*whole[key], *value]
            elif key in {"allOf", "anyOf", "oneOf"} and key in whole:
                raise _refused(f"joins several {key}")
            else:
                whole[key] = value
    return whole


def _literal(value: Any) -> str:
    """A JSON value as the grammar writes it."""
    text = json.dumps(value, ensure_ascii=False)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _needed(bodies: Sequence[str]) -> list[str]:
    """The builtin rules that these lean on, and those that these lean on."""
    found: dict[str, None] = {}
    waiting = list(bodies)
    while waiting:
        bare = re.sub(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]', " ", waiting.pop())
        for name in re.findall(r"[a-z][a-z-]*(?![\w-])", bare):
            if name in _BUILTIN and name not in found:
                found[name] = None
                waiting.append(_BUILTIN[name])
    return list(found)


def _refused(what: str) -> ModelRefusedError:
    return ModelRefusedError(f"a model in this process can't be held to this JSON schema: it {what}")
