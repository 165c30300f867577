"""The history of the tables, run by Alembic through `app.db.migrate`."""
