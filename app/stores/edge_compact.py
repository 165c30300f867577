"""Give back the room of deleted points: `python -m app.stores.edge_compact FOLDER SPACE`.

To be run as a child process while no process has the shard open: `optimize` holds Python's lock for as long as it takes,
about 4 s for 50,000 points left of 100,000. What it rewrites also opens faster: the files are read as they are.
"""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys

import qdrant_edge

from app.domain.errors import FootnoteError, StorageFullError
from app.domain.vectors import Space
from app.stores.edge_vectors import DENSE, disk_bytes, layout, opened, vector_slots

DEAD_FRACTION = 0.2  # below a fifth, rewriting gives back too little
LEAST_POINTS = 1_000  # Qdrant's own default: below it nothing is worth rewriting


def compact(folder: pathlib.Path, space: str) -> int:
    """Rewrite the shard where more than a fifth of it is dead; gives the bytes given back.

    Raises:
        FolderInUseError: a process has it open.
        StorageFullError: no room for the copy that a rewrite makes.
    """
    shard = folder / space
    dimensions = json.loads((shard / "edge_config.json").read_bytes())["vectors"][DENSE]["size"]
    before = disk_bytes(shard)
    if (free := shutil.disk_usage(folder).free) < before:
        raise StorageFullError(f"compacting takes up to {before >> 20} MB, {free >> 20} MB are free")
    with opened(shard, layout(dimensions, _optimizers())) as edge:
        points = edge.info().points_count
        slots = vector_slots(shard, dimensions=dimensions)
        if slots < LEAST_POINTS or points > slots * (1 - DEAD_FRACTION):
            return 0
        edge.optimize()
    return before - disk_bytes(shard)


def compact_in_child(folder: pathlib.Path, space: Space, *, live_points: int, deadline_seconds: float) -> int | None:
    """Run `compact` in a child process where the space seems to be worth it; to be called before the folder is opened.

    Args:
        folder: of the vector store.
        space: which shard.
        live_points: how many points should be there, as the database says.
        deadline_seconds: after which the child is ended; a shard that is being rewritten stays whole.

    Returns:
        Bytes given back; None where nothing was to be done or it did not go well, which costs disk and nothing else.
    """
    shard = folder / space.name
    slots = vector_slots(shard, dimensions=space.dimensions) if shard.exists() else 0
    if slots < LEAST_POINTS or live_points > slots * (1 - DEAD_FRACTION):
        return None
    command = [sys.executable, "-m", "app.stores.edge_compact", str(folder), space.name]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=deadline_seconds)  # noqa: S603 - ours
        return int(json.loads(done.stdout)["bytes_reclaimed"])
    except (subprocess.SubprocessError, ValueError, KeyError):
        return None


def _optimizers() -> qdrant_edge.EdgeOptimizersConfig:
    """Vacuum alone: no segment is large enough to be indexed, so no graph is built and dense search stays exact."""
    return qdrant_edge.EdgeOptimizersConfig(
        deleted_threshold=DEAD_FRACTION,
        vacuum_min_vector_number=LEAST_POINTS,
        default_segment_number=1,
        indexing_threshold=1 << 40,
    )


def main(arguments: list[str]) -> int:
    """Print what was given back as one JSON object; 1 and the error's code where it failed."""
    folder, space = arguments
    try:
        print(json.dumps({"bytes_reclaimed": compact(pathlib.Path(folder), space)}))  # noqa: T201 - read by the parent
    except FootnoteError as error:
        print(json.dumps({"error": {"code": error.code, "message": error.message}}))  # noqa: T201 - read by the parent
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
