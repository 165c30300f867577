"""Runs revisions on the connection that `app.db.migrate` passes, in its transaction."""

from __future__ import annotations

from alembic import context

from app.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
)
context.run_migrations()
