"""Whether a declaration of CSS hides what it applies to. Inline styles and simple rules; no cascade, no layout."""

from __future__ import annotations

import re
from collections.abc import Mapping

Style = Mapping[str, str]

_DECLARATION = re.compile(r"([a-z-]{2,40})\s*:\s*([^;{}]{1,300})")
_RULE = re.compile(r"([^{}]{1,400})\{([^{}]{0,4000})\}")
_AT_BLOCK = re.compile(
    r"@[a-z-]+[^{};]{0,300}\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}"
)  # conditions: for print, for small screens
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SIMPLE = re.compile(r"[a-z0-9]*(?:[.#][\w-]+)?$")
_LENGTH = re.compile(r"(-?\d*\.?\d+)\s*(px|pt|em|rem|ex|ch|vw|vh|%|in|cm|mm)?")
_PIXELS = {"pt": 1.33, "em": 16, "rem": 16, "ex": 8, "ch": 8, "vw": 13, "vh": 8, "%": 8, "in": 96, "cm": 38, "mm": 3.8}
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?:[\s,/]+([\d.]+%?))?\s*\)")
_NAMES = {"white": (255, 255, 255), "black": (0, 0, 0), "snow": (255, 250, 250), "ivory": (255, 255, 240),
          "ghostwhite": (248, 248, 255), "whitesmoke": (245, 245, 245), "floralwhite": (255, 250, 240)}  # fmt: skip
_MOVED = re.compile(r"scale\(\s*0(?:\.0+)?\s*[,)]|translate[xy]?\(\s*-\d{4}")
_SIX = 6  # digits of a colour
_FAR = -500  # pixels to the left or up: no page scrolls there
_MAX_SHEET = 500_000  # characters

Colour = tuple[int, int, int]


def declarations(style: str) -> dict[str, str]:
    """The properties of a style attribute, the last of each."""
    return {name: value.replace("!important", "").strip() for name, value in _DECLARATION.findall(style.lower())}


def rules(sheet: str) -> dict[str, dict[str, str]]:
    """The declarations of simple selectors (`p`, `.note`, `#note`, `p.note`) of a style sheet."""
    found: dict[str, dict[str, str]] = {}
    for selectors, body in _RULE.findall(_AT_BLOCK.sub("", _COMMENT.sub("", sheet[:_MAX_SHEET]))):
        declared = declarations(body)
        for selector in selectors.split(","):
            if declared and _SIMPLE.match(selector.strip().lower()):
                found.setdefault(selector.strip(), {}).update(declared)
    return found


def hides(style: Style) -> str:
    """How a style hides what it applies to and all in it; the empty string where it does not."""
    if style.get("display") == "none" or style.get("visibility") in ("hidden", "collapse"):
        return "hidden by its style"
    if _is_zero(style.get("opacity", "1"), 0.05):
        return "transparent letters"
    size = style.get("font-size") or style.get("font", "1em").split("/")[0]
    if _LENGTH.match(size) and _pixels(size) <= 1 and not size.endswith("%"):
        return "tiny letters"
    if _is_off(style):
        return "off the page"
    flat = any(style.get(side, "").strip() and _is_zero(style[side], 0) for side in ("height", "max-height", "width"))
    return "hidden by its style" if flat and style.get("overflow", "").startswith("hidden") else ""


def _is_off(style: Style) -> bool:
    """Whether it is moved to where no page scrolls."""
    moved = any(_pixels(style.get(side, "0")) <= _FAR for side in ("left", "top", "right", "bottom"))
    if moved and style.get("position") in ("absolute", "fixed", "relative"):
        return True
    if _pixels(style.get("text-indent", "0")) <= _FAR or _pixels(style.get("margin-left", "0")) <= _FAR:
        return True
    return bool(_MOVED.search(style.get("transform", "")))


def colour(value: str) -> Colour | None:
    """A colour; None where it is none that is known. Transparent ones are white: paper."""
    value = value.strip()
    if value == "transparent":
        return (255, 255, 255)
    if value in _NAMES:
        return _NAMES[value]
    if match := re.match(r"#([0-9a-f]{3,8})\b", value):
        digits = match[1] if len(match[1]) >= _SIX else "".join(2 * digit for digit in match[1])
        return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)) if len(digits) >= _SIX else None
    if match := _RGB.match(value):
        if match[4] is not None and _is_zero(match[4], 0.05):
            return (255, 255, 255)
        return (int(match[1]), int(match[2]), int(match[3]))
    return None


def alike(one: Colour, other: Colour) -> bool:
    """Whether letters of one colour are not seen on the other."""
    return all(abs(a - b) <= 20 for a, b in zip(one, other, strict=True))  # noqa: PLR2004 - of 255: no eye tells these apart


def _pixels(value: str) -> float:
    match = _LENGTH.match(value.strip())
    return float(match[1]) * _PIXELS.get(match[2] or "px", 1) if match else 0.0


def _is_zero(value: str, most: float) -> bool:
    match = _LENGTH.match(value.strip())
    return bool(match) and abs(float(match[1]) / (100 if match[2] == "%" else 1)) <= most if match else False
