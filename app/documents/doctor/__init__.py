"""Compare rows, vectors and files, and repair what disagrees; see `app.domain.drift` for the kinds.

    rows    the database by itself
    points  every index against the chunks of live versions, both ways
    files   originals and texts against versions, both ways

All of it goes on while the service works, so what looks wrong is looked at once more, and only what still is and was at no
work's hands is a finding. Repairs that need a model are jobs.
"""

from app.documents.doctor.doctor import Doctor, Event, Looked

__all__ = ["Doctor", "Event", "Looked"]
