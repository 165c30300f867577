"""Selectors of CSS as XPath: those that choose by place, name, class and attribute; none by state (`:hover`)."""

from __future__ import annotations

import re

_PART = re.compile(
    r"(?P<tag>\*|[a-z][\w-]*)|\.(?P<class>[\w-]+)|#(?P<id>[\w-]+)"
    r"|\[\s*(?P<name>[a-z_][\w-]*)\s*(?:(?P<how>[~^$*|]?=)\s*(?P<quote>[\"']?)(?P<value>[\w .:/#-]*)(?P=quote)\s*i?\s*)?\]"
    r"|:(?P<place>nth-of-type|nth-child)\(\s*(?P<nth>\d{1,4}|odd|even|n)\s*\)"
    r"|:(?P<end>first-child|last-child|only-child|first-of-type|last-of-type)",
    re.IGNORECASE | re.ASCII,
)
_STEP = re.compile(r"\s*([>+~])\s*|\s+")
_AXES = {
    None: "//",
    ">": "/",
    "+": "/following-sibling::*[1]/self::",
    "~": "/following-sibling::",
}
_NTH = {"odd": " mod 2 = 1", "even": " mod 2 = 0", "n": " > 0"}
_ENDS = {
    "first-child": "not(preceding-sibling::*)",
    "last-child": "not(following-sibling::*)",
    "only-child": "not(preceding-sibling::* or following-sibling::*)",
}
_HOWS = {
    "=": "@{0} = '{1}'",
    "*=": "contains(@{0}, '{1}')",
    "^=": "starts-with(@{0}, '{1}')",
    "$=": "substring(@{0}, string-length(@{0}) - {2}) = '{1}'",
    "~=": "contains(concat(' ', normalize-space(@{0}), ' '), ' {1} ')",
    "|=": "starts-with(concat(@{0}, '-'), '{1}-')",
}


def xpath(selector: str) -> str:
    """The path of the elements that a selector chooses; the empty string where it is of another kind."""
    path, at = "//", 0
    selector = selector.strip()
    while at < len(selector):
        tag, tests, at = _compound(selector, at)
        if not (tag or tests):
            return ""
        path += (tag or "*") + "".join(f"[{test}]" for test in tests)
        step = _STEP.match(selector, at)
        if step is None:
            return path if at == len(selector) else ""
        path, at = path + _AXES[step[1]], step.end()
    return ""


def _compound(selector: str, at: int) -> tuple[str, list[str], int]:
    """Tag and conditions of what stands without a space, and where it ends."""
    tag = ""
    tests: list[str] = []
    while part := _PART.match(selector, at):
        if part["tag"] and (tag or tests):
            break
        tag = part["tag"].lower() if part["tag"] else tag
        if not part["tag"]:
            tests.append(_test(part, tag))
        at = part.end()
    return tag, tests, at


def _test(part: re.Match[str], tag: str) -> str:
    if part["class"]:
        return _HOWS["~="].format("class", part["class"])
    if part["id"]:
        return _HOWS["="].format("id", part["id"])
    if part["name"]:
        value = part["value"] or ""
        return (
            _HOWS[part["how"]].format(part["name"].lower(), value, len(value) - 1)
            if part["how"]
            else f"@{part['name'].lower()}"
        )
    if part["place"]:
        same = tag if part["place"].lower() == "nth-of-type" and tag else "*"
        number = _NTH.get(part["nth"].lower(), f" = {part['nth']}")
        return f"(count(preceding-sibling::{same}) + 1){number}"
    end = part["end"].lower()
    same = tag or "*"
    side = "preceding" if end == "first-of-type" else "following"
    return _ENDS.get(end) or f"not({side}-sibling::{same})"
