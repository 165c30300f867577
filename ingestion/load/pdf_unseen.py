"""Text of a PDF that no reader sees: invisible or transparent letters, the background's colour, off the page, too small.

A page is sampled: every 24th character, by four calls of PDFium each, made without the wrapper's checks (0.3 to 0.9 ms a
page of a filing, 3 to 6 % of reading it; every character would take as long as reading does). Only where a sample is
suspect every character is looked at. White letters may stand on a dark ground, so the page is drawn, and those count
where the drawing is of one colour. Invisible letters over a picture are what OCR lays over a scan, and are not hidden.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from ingestion.load.marking import says_something

_STEP = 24  # characters; a run that is as long can't be missed, the shortest orders have about as many
_NEAR_WHITE = 235  # of 255, in each of red, green and blue
_TINY = 1.5  # points; small print has 5
_OUTLINED = (1, 5)  # render modes whose fill is not drawn
_INVISIBLE = 3
_CLIP = 7  # drawn only as a window to what comes after
_LEAST_CONTRAST = 24  # of 255 grey levels: less is not seen on a screen
_MOST_PIXELS = 2000  # of a side
_ANY = ctypes.c_void_p

_Box = tuple[float, float, float, float]  # left, bottom, right, top


def _bare(function: Any, result: Any, *arguments: Any) -> Callable[..., int]:
    """The same function with addresses in place of typed pointers: a third of the time of a call."""
    return ctypes.CFUNCTYPE(result, *arguments)(ctypes.cast(function, _ANY).value or 0)


_object_at = _bare(pdfium_c.FPDFText_GetTextObject, _ANY, _ANY, ctypes.c_int)
_mode_of = _bare(pdfium_c.FPDFTextObj_GetTextRenderMode, ctypes.c_int, _ANY)
_fill_of = _bare(pdfium_c.FPDFPageObj_GetFillColor, ctypes.c_int, _ANY, _ANY, _ANY, _ANY, _ANY)
_box_of = _bare(pdfium_c.FPDFText_GetLooseCharBox, ctypes.c_int, _ANY, ctypes.c_int, _ANY)


class Watch:
    """Looks at the pages of one document after the other."""

    def __init__(self) -> None:
        self._colour = (ctypes.c_uint * 4)()
        self._colours = [ctypes.addressof(self._colour) + 4 * n for n in range(4)]
        self._rectangle = pdfium_c.FS_RECTF()
        self._place = ctypes.addressof(self._rectangle)
        self._page_box: _Box = (0.0, 0.0, 0.0, 0.0)

    def hidden(self, page: pdfium.PdfPage, textpage: pdfium.PdfTextPage, text: str) -> tuple[str, ...]:
        """How text of the page is hidden; nothing where none is.

        Args:
            page: the page.
            textpage: its text.
            text: the same, a code point for each of PDFium's characters.
        """
        handle = ctypes.cast(textpage.raw, _ANY).value or 0
        self._page_box = self._box_of_page(page)
        if not any(how for _, how in self._looked(handle, text, range(0, len(text), _STEP))):
            return ()
        return self._judged(page, handle, text)

    def _box_of_page(self, page: pdfium.PdfPage) -> _Box:
        box = self._rectangle
        pdfium_c.FPDF_GetPageBoundingBox(page, ctypes.byref(box))
        return (box.left, box.bottom, box.right, box.top)

    def _looked(self, handle: int, text: str, places: range) -> Iterator[tuple[int, str]]:
        """Each character that was drawn by an object of text, and how it may be hidden."""
        last, ink = 0, ""
        left, bottom, right, top = self._page_box
        box = self._rectangle
        for at in places:
            drawn = 0 if text[at].isspace() else _object_at(handle, at)  # spaces have boxes of no size
            if not drawn:
                continue
            if drawn != last:
                last, ink = drawn, self._ink(drawn)
            if ink:
                yield at, ink
            elif not _box_of(handle, at, self._place):
                continue
            elif box.right <= left or box.left >= right or box.top <= bottom or box.bottom >= top:
                yield at, "off the page"
            elif abs(box.top - box.bottom) < _TINY and abs(box.right - box.left) < _TINY:
                yield at, "tiny letters"
            else:
                yield at, ""

    def _ink(self, drawn: int) -> str:
        """How an object's letters may be hidden by the way they are drawn."""
        mode = _mode_of(drawn)
        if mode == _INVISIBLE:
            return "invisible letters"
        if mode == _CLIP:
            return "letters of the background's colour"
        if mode in _OUTLINED or not _fill_of(drawn, *self._colours):
            return ""
        red, green, blue, alpha = self._colour
        faint = alpha == 0 or (red >= _NEAR_WHITE and green >= _NEAR_WHITE and blue >= _NEAR_WHITE)
        return "letters of the background's colour" if faint else ""

    def _judged(self, page: pdfium.PdfPage, handle: int, text: str) -> tuple[str, ...]:
        """The ways in which enough of the page's characters are hidden, after a look at what lies under them."""
        hows: dict[str, list[int]] = {}
        for at, how in self._looked(handle, text, range(len(text))):
            if how:
                hows.setdefault(how, []).append(at)
        if "letters of the background's colour" in hows:
            drawing = _Drawing(page)
            faint = hows["letters of the background's colour"]
            hows["letters of the background's colour"] = [
                at for at in faint if not drawing.shows(self._box(handle, at))
            ]
        if "invisible letters" in hows:
            pictures = list(_pictures(page))
            bare = [at for at in hows["invisible letters"] if not _within(self._box(handle, at), pictures)]
            hows["invisible letters"] = bare
        return tuple(how for how, places in hows.items() if says_something("".join(text[at] for at in places)))

    def _box(self, handle: int, at: int) -> _Box:
        _box_of(handle, at, self._place)
        box = self._rectangle
        return (box.left, box.bottom, box.right, box.top)


class _Drawing:
    """A page as it is seen, in grey."""

    def __init__(self, page: pdfium.PdfPage) -> None:
        self._page = page
        width, height = page.get_size()
        bitmap = page.render(scale=min(1.0, _MOST_PIXELS / max(width, height, 1.0)), grayscale=True)
        self._pixels: npt.NDArray[np.uint8] = np.asarray(bitmap.to_numpy()).reshape(bitmap.height, bitmap.width)

    def shows(self, box: _Box) -> bool:
        """Whether something can be told apart inside a box of the page's."""
        height, width = self._pixels.shape
        columns: list[int] = []
        rows: list[int] = []
        x, y = ctypes.c_int(), ctypes.c_int()
        for across, up in ((box[0], box[1]), (box[2], box[3])):
            pdfium_c.FPDF_PageToDevice(self._page, 0, 0, width, height, 0, across, up, ctypes.byref(x), ctypes.byref(y))
            columns.append(min(max(x.value, 0), width))
            rows.append(min(max(y.value, 0), height))
        seen = self._pixels[min(rows) : max(rows) + 1, min(columns) : max(columns) + 1]
        return bool(seen.size) and int(seen.max()) - int(seen.min()) >= _LEAST_CONTRAST


def _pictures(page: pdfium.PdfPage) -> Iterator[_Box]:
    """Where images are, and groups that hold some."""
    numbers = [ctypes.c_float() for _ in range(4)]
    for at in range(pdfium_c.FPDFPage_CountObjects(page)):
        drawn = pdfium_c.FPDFPage_GetObject(page, at)
        kind = pdfium_c.FPDFPageObj_GetType(drawn)
        if kind == pdfium_c.FPDF_PAGEOBJ_IMAGE or (kind == pdfium_c.FPDF_PAGEOBJ_FORM and _holds_image(drawn)):
            pdfium_c.FPDFPageObj_GetBounds(drawn, *map(ctypes.byref, numbers))
            left, bottom, right, top = (number.value for number in numbers)
            yield (left, bottom, right, top)


def _holds_image(group: Any) -> bool:
    inner = (pdfium_c.FPDFFormObj_GetObject(group, n) for n in range(pdfium_c.FPDFFormObj_CountObjects(group)))
    return any(pdfium_c.FPDFPageObj_GetType(each) == pdfium_c.FPDF_PAGEOBJ_IMAGE for each in inner)


def _within(box: _Box, pictures: list[_Box]) -> bool:
    """Whether the middle of a box lies in one of the pictures."""
    across, up = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return any(left <= across <= right and bottom <= up <= top for left, bottom, right, top in pictures)
