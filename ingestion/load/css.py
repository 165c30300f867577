"""Whether a declaration of CSS hides what it applies to. Inline styles and rules; no cascade, no layout."""

from __future__ import annotations

import re
from collections.abc import Mapping

Style = Mapping[str, str]

_DECLARATION = re.compile(r"([a-z-]{2,40})\s*:\s*([^;{}]{1,300})")
_RULE = re.compile(r"([^{}]{1,400})\{([^{}]{0,4000})\}")
_AT_BLOCK = re.compile(
    r"@([a-z-]+[^{};]{0,300})\{((?:[^{}]*\{[^{}]*\})*[^{}]*)\}"
)  # conditions: for print, for screens
_ELSEWHERE = re.compile(r"print|speech|max-|prefers|orientation|font-face|keyframes|page")  # not what most readers see
_ESCAPE = re.compile(r"\\([0-9a-f]{1,6})\s?|\\(.)", re.IGNORECASE)
_VARIABLE = re.compile(r"var\(\s*(--[\w-]{1,60})\s*(?:,\s*([^()]{0,100}))?\)")
_CUSTOM = re.compile(r"(--[\w-]{1,60})\s*:\s*([^;{}]{1,300})")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_SIMPLE = re.compile(r"[a-z0-9]*(?:[.#][\w-]+)?$")
_LENGTH = re.compile(r"(-?\d*\.?\d+)\s*(px|pt|em|rem|ex|ch|vw|vh|%|in|cm|mm)?")
_PIXELS = {"pt": 1.33, "em": 16, "rem": 16, "ex": 8, "ch": 8, "vw": 13, "vh": 8, "%": 8, "in": 96, "cm": 38, "mm": 3.8}
_RGB = re.compile(r"rgba?\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})(?:[\s,/]+([\d.]+%?))?\s*\)")
_NAMES = {"white": (255, 255, 255), "black": (0, 0, 0), "snow": (255, 250, 250), "ivory": (255, 255, 240),
          "ghostwhite": (248, 248, 255), "whitesmoke": (245, 245, 245), "floralwhite": (255, 250, 240)}  # fmt: skip
_MOVED = re.compile(r"scale\(\s*0(?:\.0+)?\s*[,)]|translate[xy]?\(\s*-\d{4}")
_HSL = re.compile(r"hsla?\(\s*[\d.]+(?:deg)?[\s,]+([\d.]+)%[\s,]+([\d.]+)%(?:[\s,/]+([\d.]+%?))?\s*\)")
_CLIPPED = re.compile(
    r"inset\(\s*(?:[5-9]\d|100)(?:\.\d+)?%|(?:circle|ellipse)\(\s*0(?:px|%|em)?[\s,)]|polygon\(\s*0[^,()]{0,4}(?:,\s*0[^,()]{0,4}){0,9}\)"
)
_CLIP = re.compile(r"rect\(\s*(-?\d+)(?:px)?[\s,]+(-?\d+)(?:px)?[\s,]+(-?\d+)(?:px)?[\s,]+(-?\d+)(?:px)?\s*\)")
_FADED = re.compile(
    r"opacity\(\s*0*(?:\.0\d*)?%?\s*\)|opacity\(\s*[0-4](?:\.\d+)?%\s*\)|alpha\(\s*opacity\s*=\s*0\s*\)"
)
_DOT = 2  # pixels: a box of one holds no letter
_SIX = 6  # digits of a colour
_FAR = -500  # pixels to the left or up: no page scrolls there
_MAX_SHEET = 500_000  # characters

Colour = tuple[int, int, int]


def declarations(style: str, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """The properties of a style attribute, the last of each; variables are replaced by what they stand for."""
    said = _unescaped(style).lower()
    if "var(" in said:
        known = {**(variables or {}), **dict(_CUSTOM.findall(said))}
        said = _VARIABLE.sub(lambda named: (known.get(named[1]) or named[2] or "").strip(), said)
    return {name: value.replace("!important", "").strip() for name, value in _DECLARATION.findall(said)}


def variables(sheet: str) -> dict[str, str]:
    """The variables that a style sheet sets, wherever it does."""
    return dict(_CUSTOM.findall(_COMMENT.sub("", sheet[:_MAX_SHEET]).lower())) if "--" in sheet else {}


def rules(sheet: str) -> tuple[dict[str, dict[str, str]], list[tuple[str, dict[str, str]]]]:
    """The declarations of a style sheet: of simple selectors (`p`, `.note`, `#note`, `p.note`) by name, and of others."""
    simple: dict[str, dict[str, str]] = {}
    others: list[tuple[str, dict[str, str]]] = []
    known = variables(sheet)
    for selectors, body in _RULE.findall(_AT_BLOCK.sub(_if_seen, _COMMENT.sub("", sheet[:_MAX_SHEET]))):
        declared = declarations(body, known)
        for selector in map(str.strip, _unescaped(selectors).split(",") if declared else ()):
            if _SIMPLE.match(selector.lower()):
                simple.setdefault(selector, {}).update(declared)
            else:
                others.append((selector, declared))
    return simple, others


def _if_seen(block: re.Match[str]) -> str:
    """The rules of a block whose condition holds on common screens."""
    return "" if _ELSEWHERE.search(block[1].lower()) else block[2]


def _unescaped(said: str) -> str:
    if "\\" not in said:
        return said
    return _ESCAPE.sub(lambda each: chr(min(int(each[1], 16), 0x10FFFF)) if each[1] else each[2], said)


def hides(style: Style) -> str:
    """How a style hides what it applies to and all in it; the empty string where it does not."""
    if style.get("display") == "none" or style.get("visibility") in ("hidden", "collapse"):
        return "hidden by its style"
    if _is_zero(style.get("opacity", "1"), 0.05) or _FADED.search(style.get("filter", "")):
        return "transparent letters"
    size = style.get("font-size") or style.get("font", "1em").split("/")[0]
    if _LENGTH.match(size) and _pixels(size) <= 1 and not size.endswith("%"):
        return "tiny letters"
    if _is_off(style):
        return "off the page"
    flat = any(style.get(side, "").strip() and _is_zero(style[side], 0) for side in ("height", "max-height", "width"))
    dot = all(0 < _pixels(style.get(side, "")) < _DOT for side in ("height", "width"))
    cut = (flat or dot) and style.get("overflow", "").startswith("hidden")
    return "hidden by its style" if cut or _is_clipped(style) else ""


def _is_off(style: Style) -> bool:
    """Whether it is moved to where no page scrolls."""
    moved = any(_pixels(style.get(side, "0")) <= _FAR for side in ("left", "top", "right", "bottom"))
    if moved and style.get("position") in ("absolute", "fixed", "relative"):
        return True
    if _pixels(style.get("text-indent", "0")) <= _FAR or _pixels(style.get("margin-left", "0")) <= _FAR:
        return True
    return bool(_MOVED.search(style.get("transform", "")))


def _is_clipped(style: Style) -> bool:
    """Whether nothing is left of it."""
    if _CLIPPED.search(style.get("clip-path", "")):
        return True
    rect = _CLIP.search(style.get("clip", "")) if style.get("position") in ("absolute", "fixed") else None
    if rect is None:
        return False
    top, right, bottom, left = (int(side) for side in rect.groups())
    return right - left < _DOT or bottom - top < _DOT


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
    return _of_hsl(value)


def _of_hsl(value: str) -> Colour | None:
    """White, black and greys, and what is nearly so; other colours are not known."""
    match = _HSL.match(value)
    if match is None:
        return None
    if match[3] is not None and _is_zero(match[3], 0.05):
        return (255, 255, 255)
    saturation, lightness = float(match[1]) / 100, float(match[2]) / 100
    spread = saturation * min(lightness, 1 - lightness)
    grey = min(255, round(255 * lightness))
    return (grey, grey, grey) if spread <= 0.04 else None  # noqa: PLR2004 - ten of 255: no eye tells these apart


def alike(one: Colour, other: Colour) -> bool:
    """Whether letters of one colour are not seen on the other."""
    return all(abs(a - b) <= 20 for a, b in zip(one, other, strict=True))  # noqa: PLR2004 - of 255: no eye tells these apart


def _pixels(value: str) -> float:
    match = _LENGTH.match(value.strip())
    return float(match[1]) * _PIXELS.get(match[2] or "px", 1) if match else 0.0


def _is_zero(value: str, most: float) -> bool:
    match = _LENGTH.match(value.strip())
    return bool(match) and abs(float(match[1]) / (100 if match[2] == "%" else 1)) <= most if match else False
