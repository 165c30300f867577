"""A table of a TOML file, read key by key: what does not fit is refused in a sentence that names file, table and key."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.errors import BadCatalogueError
from app.inference.chat.backend import Option

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What would be a secret that stands in the file. Compared without case, `-` and `_`.
_secrets = "apikey key token secret secretkey accesskey password authorization awsaccesskeyid awssecretaccesskey awssessiontoken"
_SECRETS = frozenset(_secrets.split())
_URL = re.compile(r"https?://[^/?#\s]+[^?#\s]*")
_MOST = 10**9
_LIKE = 0.7  # of difflib's ratio: `modell` and `nmae` are misspelled, `price` is no `provider`


class Table:
    """One table. Every key must have been asked for by `end`."""

    def __init__(self, found: Mapping[str, Any], where: str) -> None:
        """Take what the file holds, and how a person finds it: `models.toml: model 2 (gpt)`."""
        self._found = found
        self.where = where
        self._known: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def refusal(self, key: str, sentence: str) -> BadCatalogueError:
        """What is wrong with a key; the value itself is never repeated: it may be a secret put in the wrong place."""
        return BadCatalogueError(f"{self.where}: `{key}` {sentence}")

    def text(self, key: str, default: str | None = None) -> str | None:
        """A string that is not empty; None where there is neither one nor a default."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value.strip():
            raise self.refusal(key, "must be a string that is not empty")
        return value

    def required(self, key: str) -> str:
        """As `text`, where there must be one."""
        value = self.text(key)
        if value is None:
            raise self.refusal(key, f"is missing{self._misspelled(key)}")
        return value

    def one_of(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of some strings."""
        value = self._take(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.refusal(key, f"is missing{self._misspelled(key)}; it is one of {', '.join(choices)}")
        if value not in choices:
            raise self.refusal(key, f"must be one of {', '.join(choices)}")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; empty where there is none."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, str) and each.strip() for each in value):
            raise self.refusal(key, "must be a list of strings that are not empty")
        return tuple(value)

    def whole(self, key: str, default: int, *, least: int = 1, most: int = _MOST) -> int:
        """A whole number."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.refusal(key, f"must be a whole number from {least} to {most}")
        return value

    def seconds(self, key: str, default: float) -> float:
        """A number above 0."""
        value = self.number(key, default)
        if value <= 0:
            raise self.refusal(key, "must be more than 0")
        return value

    def number(self, key: str, default: float) -> float:
        """A finite number, 0 or more."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise self.refusal(key, "must be a number, 0 or more")
        return float(value)

    def optional_number(self, key: str) -> float | None:
        """As `number`; None where there is none."""
        return None if self._take(key) is None else self.number(key, 0.0)

    def truth(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refusal(key, "must be true or false")
        return value

    def url(self, key: str) -> str | None:
        """An http(s) address that carries neither a user nor a query, where secrets would stand."""
        value = self.text(key)
        if value is None:
            return None
        if not _URL.fullmatch(value):
            raise self.refusal(key, "must be an address that begins with http:// or https://, without `?` and `#`")
        if "@" in value.partition("://")[2].partition("/")[0]:
            raise self.refusal(key, "carries a user or a password: name an environment variable with `api_key_env`")
        return value.rstrip("/")

    def variable(self, key: str) -> str | None:
        """The name of an environment variable."""
        value = self.text(key)
        if value is not None and not _VARIABLE.fullmatch(value):
            raise self.refusal(key, "must be the name of an environment variable, as OPENAI_API_KEY, not what it holds")
        return value

    def options(self, key: str) -> dict[str, Option]:
        """A table of plain values, none of them a secret."""
        value = self._take(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.refusal(key, "must be a table")
        Table(value, f"{self.where}, `{key}`").refuse_secrets()
        for name, each in value.items():
            if not isinstance(each, str | int | float | bool):
                raise self.refusal(f"{key}.{name}", "must be a string, a number, true or false")
        return dict(value)

    def table(self, key: str) -> Table | None:
        """A table within."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refusal(key, "must be a table")
        return Table(value, f"{self.where}, `{key}`")

    def tables(self, key: str, noun: str, *, label: str | None = None) -> list[Table]:
        """A list of tables, each called by its number, and by its `label` where it has one."""
        value = self._take(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.refusal(key, f"must be a list of tables, each written [[{key}]]")
        named = [f" ({each[label]})" if label and isinstance(each.get(label), str) else "" for each in value]
        return [
            Table(each, f"{self.where}: {noun} {number}{name}")
            for number, (each, name) in enumerate(zip(value, named, strict=True), start=1)
        ]

    def keys(self) -> list[str]:
        """All that there are, which makes them known."""
        self._known.update(self._found)
        return list(self._found)

    def refuse_secrets(self) -> None:
        """Raise where a secret stands in the table."""
        for key in self._found:
            if key.lower().replace("-", "").replace("_", "") in _SECRETS:
                raise self.refusal(
                    key, "may not stand in a file: name an environment variable that holds it with `api_key_env`"
                )

    def end(self) -> None:
        """Raise where there is a key that nobody asked for."""
        self.refuse_secrets()
        for key in self._found:
            if key not in self._known:
                raise self.refusal(key, f"is not known here; known are {', '.join(sorted(self._known))}")

    def _misspelled(self, key: str) -> str:
        """What to say of a key that there is and that nobody asked for, much like one that is missing."""
        strange = [each for each in self._found if each not in self._known]
        like = difflib.get_close_matches(key, strange, n=1, cutoff=_LIKE)
        return f", and `{like[0]}` is not known here" if like else ""

    def _take(self, key: str) -> Any:
        self._known.add(key)
        return self._found.get(key)
