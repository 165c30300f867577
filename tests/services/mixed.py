"""Small files of several formats, each with a sentence of its own."""

from __future__ import annotations

import json
import random


def file(number: int, edition: int, rng: random.Random) -> tuple[str, bytes, str]:
    """(name, content, a sentence that is in it and in no other) of one of several formats."""
    mark = f"mark{number:04}x{edition:03}"
    filler = "\n\n".join(
        f"Paragraph {n} of {mark} speaks of {rng.choice(['ice', 'rope', 'tin', 'wool'])}. " * 6
        for n in range(rng.choice([1, 1, 2, 5, 40]))
    )
    kind = ("txt", "md", "html", "csv", "json", "eml", "pdf")[number % 7]
    content = {
        "txt": f"{mark}\n\n{filler}",
        "md": f"# Title {mark}\n\n{filler}",
        "html": f"<html><body><h1>{mark}</h1><p>{filler}</p></body></html>",
        "csv": "name,mark\n" + "\n".join(f"row {n},{mark}" for n in range(rng.choice([2, 50]))),
        "json": json.dumps({"mark": mark, "text": filler}),
        "eml": f"From: a@example.org\nTo: b@example.org\nSubject: {mark}\nDate: Mon, 5 Jan 2026 10:00:00 +0000\n\n{filler}\n",
        "pdf": "",
    }[kind]
    return f"file-{number:04}.{kind}", content.encode() or _pdf(mark), mark


def _pdf(text: str) -> bytes:
    """A PDF of one page that says so."""
    stream = f"BT /F1 12 Tf 72 720 Td ({text} is written on this page of a small file.) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    return out + b"xref\n0 6\n0000000000 65535 f \n%strailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        table,
        start,
    )
