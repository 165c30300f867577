"""The embedder alone on the chunks that a collection holds, in a process of its own: what ingestion is measured against.

    python -m benchmarks.alone --data-dir FOLDER --collection NAME

The passages are composed as the pipeline composes them (title, headings, text) and are all there before the clock
starts. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time

from app import bootstrap
from app.bootstrap import Services
from app.settings import Settings
from ingestion.chunk.chunker import Chunker

WINDOW = 2048  # passages of one call, which the embedder sorts by length: more than the pipeline's 256
_PAGE = 500


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=pathlib.Path, required=True)
    parser.add_argument("--collection", required=True)
    arguments = parser.parse_args()
    services = bootstrap.build(Settings(data_dir=arguments.data_dir))
    try:
        texts = passages(services, arguments.collection)
        services.embedder.embed_passages(texts[:32])  # the first run lays out the weights
        began = time.perf_counter()
        for start in range(0, len(texts), WINDOW):
            services.embedder.embed_passages(texts[start : start + WINDOW])
        seconds = time.perf_counter() - began
    finally:
        services.stop()
    print(json.dumps({"chunks": len(texts), "seconds": seconds}))


def passages(services: Services, collection: str) -> list[str]:
    """What was embedded of every live document of a collection, in the order in which documents were accepted."""
    admin = services.keys.authenticate(services.admin_key_path.read_text(encoding="utf-8").strip())
    chunker = Chunker(services.embedder.tokenizer)
    texts: list[str] = []
    with services.database.read() as work:
        found = work.collections.by_name(admin.workspace_id, collection)
        if found is None:
            raise SystemExit(f"no collection named {collection}")
        after = None
        while page := work.documents.in_collection(found.id, after=after, limit=_PAGE):
            after = page[-1].id
            for document in page:
                if document.live_version_id is None:
                    continue
                first = 0
                while chunks := work.chunks.of_version(
                    document.live_version_id, found.live_index_id, first=first, limit=_PAGE
                ):
                    first = chunks[-1].ordinal + 1
                    texts += chunker.passages(document.title, [(chunk.headings, chunk.text) for chunk in chunks])
    return texts


if __name__ == "__main__":
    main()
