"""Templates of prompts: a part of Jinja2 that can neither reach Python nor run on.

What a template may hold is listed, not what it may not: text, variables, `if`, comparisons, a few filters. With no
loop, call, attribute, assignment, concatenation or arithmetic, its time and its output are at most linear in its own length and in what
it is given. The sandbox is a second wall behind that.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

MAX_TEMPLATE_CHARS = 20_000
MAX_RENDERED_CHARS = 1_000_000  # far above any model's window of today that a prompt of sources fills
_DEEPEST = 40  # nodes above a node
_NODES = "Template Output TemplateData Name Const If CondExpr And Or Not Compare Operand Filter Test List Tuple"
_ALLOWED = frozenset(_NODES.split())
_FILTERS = frozenset({"upper", "lower", "capitalize", "title", "trim", "length"})
_TESTS = frozenset({"defined", "none", "true", "false", "string"})
_FLAGS = frozenset({"structured"})
_KEYWORDS = {"For": "`for`", "Call": "a call", "Getattr": "an attribute", "Getitem": "an item", "Assign": "`set`"}


def check(source: str, *, variables: frozenset[str], needed: Sequence[str], of: str) -> None:
    """Return where a template can be rendered.

    Args:
        source: the template.
        variables: those that it is given: strings, but for `structured`.
        needed: those that must stand in what it renders, whatever it is given.
        of: the template's name for a person.

    Raises:
        InvalidInputError: it can't; says why, and in which line where that is known.
    """
    _compiled(source, of)
    for name, line in _names(source, of).items():
        if name not in variables:
            known = ", ".join(sorted(variables))
            raise _bad(f"{of}, line {line}: there is no variable {name:.80}; there are {known}")
    bare = _bare_names(source, of)
    for name in needed:
        if name not in bare:
            raise _bad(f"{of}: {{{{ {name} }}}} must stand in it, outside of conditions and filters")
    others = sorted(variables - set(needed))
    for given in itertools.product((False, True), repeat=len(others)):
        values = {name: said if name in _FLAGS else "x" * said for name, said in zip(others, given, strict=True)}
        rendered(source, values | dict.fromkeys(needed, "x"), of=of)


def rendered(source: str, values: Mapping[str, str | bool], *, of: str) -> str:
    """The template with these values in it.

    Raises:
        InvalidInputError: it is no template that `check` passes, or gives more than MAX_RENDERED_CHARS.
    """
    from jinja2 import TemplateError  # noqa: PLC0415 - only where a prompt is made

    pieces: list[str] = []
    size = 0
    try:
        for piece in _compiled(source, of).generate(dict(values)):
            size += len(piece)
            if size > MAX_RENDERED_CHARS:
                raise _bad(f"{of}: it gives more than {MAX_RENDERED_CHARS} characters")
            pieces.append(piece)
    except (TemplateError, TypeError, ValueError) as error:
        raise _bad(f"{of}: {_first_line(error)}") from error
    return "".join(pieces)


@functools.lru_cache(maxsize=256)
def _compiled(source: str, of: str) -> jinja2.Template:
    """A template, once it is seen to hold only what it may."""
    if len(source) > MAX_TEMPLATE_CHARS:
        raise _bad(f"{of}: it has {len(source)} characters, the limit is {MAX_TEMPLATE_CHARS}")
    if "\x00" in source:
        raise _bad(f"{of}: it holds a NUL")
    tree = _parsed(source, of)
    _require_allowed(tree, of)
    try:
        return _environment().from_string(tree)
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise _bad(f"{of}: it is nested too deep") from error


@functools.cache
def _environment() -> jinja2.Environment:
    from jinja2 import StrictUndefined  # noqa: PLC0415 - only where a prompt is made
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, auto_reload=False, cache_size=0
    )
    environment.globals.clear()
    for kept, there in ((_FILTERS, environment.filters), (_TESTS, environment.tests)):
        for name in set(there) - kept:
            del there[name]
    return environment


def _parsed(source: str, of: str) -> nodes.Template:
    from jinja2 import TemplateSyntaxError  # noqa: PLC0415 - only where a prompt is made

    try:
        return _environment().parse(source)
    except TemplateSyntaxError as error:
        raise _bad(f"{of}, line {error.lineno}: {_first_line(error)}") from error
    except (RecursionError, MemoryError) as error:
        raise _bad(f"{of}: it is nested too deep") from error
    except (ValueError, OverflowError) as error:  # a number with too many digits
        raise _bad(f"{of}: {_first_line(error)}") from error


def _require_allowed(tree: nodes.Node, of: str) -> None:
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        kind = type(node).__name__
        if depth > _DEEPEST:
            raise _bad(f"{of}, line {node.lineno}: it is nested too deep")
        if kind not in _ALLOWED:
            raise _bad(
                f"{of}, line {node.lineno}: {_KEYWORDS.get(kind, f'{kind}')} is not taken in a template; "
                "there are variables, `if`, comparisons, and the filters " + ", ".join(sorted(_FILTERS))
            )
        if kind in ("Filter", "Test"):
            _require_known(node, of)
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]


def _require_known(node: nodes.Node, of: str) -> None:
    name = getattr(node, "name", None)
    plain = not any(getattr(node, part, None) for part in ("args", "kwargs", "dyn_args", "dyn_kwargs"))
    if name not in _FILTERS | _TESTS or not plain:
        raise _bad(f"{of}, line {node.lineno}: {name!s:.80} is not taken in a template, or takes no arguments")


def _names(source: str, of: str) -> dict[str, int]:
    """Its variables, each with the line that it stands in first."""
    from jinja2 import nodes  # noqa: PLC0415 - only where a template is checked

    found: dict[str, int] = {}
    for each in _parsed(source, of).find_all(nodes.Name):
        found.setdefault(each.name, each.lineno)
    return found


def _bare_names(source: str, of: str) -> set[str]:
    """The variables that it shows as they are, whatever its conditions say."""
    from jinja2 import nodes  # noqa: PLC0415 - only where a template is checked

    shown = [child for each in _parsed(source, of).body if isinstance(each, nodes.Output) for child in each.nodes]
    return {each.name for each in shown if isinstance(each, nodes.Name)}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


def _bad(sentence: str) -> InvalidInputError:
    return InvalidInputError(sentence, code="bad_template")
