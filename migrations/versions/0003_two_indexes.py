"""A collection may have a second index; versions are noted by index, and hidden by space; drift is reported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
_INDEXES = (
    ("ix_hidden_version_swept_at_hidden_at", ["swept_at", "hidden_at"], None),
    ("ix_hidden_version_unswept", ["space", "hidden_at", "version_id"], "swept_at IS NULL"),
)


def upgrade() -> None:
    op.add_column("collection", sa.Column("building_index_id", ID, nullable=True))
    op.add_column("collection", sa.Column("standby_index_id", ID, nullable=True))
    op.add_column("collection_index", sa.Column("dropped_at", MOMENT, nullable=True))
    op.create_table(
        "indexed_version",
        sa.Column("index_id", ID, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["index_id"],
            ["collection_index.id"],
            name="fk_indexed_version_index_id_collection_index",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["version.id"], name="fk_indexed_version_version_id_version", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("index_id", "version_id", name="pk_indexed_version"),
    )
    op.create_index("ix_indexed_version_version_id", "indexed_version", ["version_id"])
    op.execute(
        "INSERT INTO indexed_version (index_id, version_id, chunks, whole) "
        "SELECT collection.live_index_id, version.id, coalesce(version.chunks, 0), true "
        "FROM document JOIN collection ON collection.id = document.collection_id "
        "JOIN version ON version.id = document.live_version_id "
        "WHERE document.deleted_at IS NULL"
    )
    # Versions on their way whose chunks are cut: they begin with their points. The stage tells.
    op.execute(
        "INSERT INTO indexed_version (index_id, version_id, chunks, whole) "
        "SELECT DISTINCT collection.live_index_id, version.id, coalesce(version.chunks, 0), false "
        "FROM item JOIN version ON version.id = item.version_id "
        "JOIN document ON document.id = version.document_id "
        "JOIN collection ON collection.id = document.collection_id "
        "WHERE item.state IN ('queued', 'running') AND item.stage = 'index' AND item.kind IN ('ingest', 'batch') "
        "AND version.state = 'pending'"
    )
    _key(["version_id", "space"])
    op.create_table(
        "drift_report",
        sa.Column("id", ID, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("repaired", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_drift_report"),
    )


def downgrade() -> None:
    op.drop_table("drift_report")
    op.execute(
        "DELETE FROM hidden_version WHERE EXISTS (SELECT 1 FROM hidden_version AS other "
        "WHERE other.version_id = hidden_version.version_id AND other.space < hidden_version.space)"
    )
    _key(["version_id"])
    op.drop_table("indexed_version")
    op.drop_column("collection_index", "dropped_at")
    op.drop_column("collection", "standby_index_id")
    op.drop_column("collection", "building_index_id")


def _key(columns: list[str]) -> None:
    """Give `hidden_version` another primary key."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("pk_hidden_version", "hidden_version", type_="primary")
        op.create_primary_key("pk_hidden_version", "hidden_version", columns)
        return
    for name, _, _ in _INDEXES:
        op.drop_index(name, "hidden_version")
    op.rename_table("hidden_version", "hidden_version_before")
    op.create_table(
        "hidden_version",
        sa.Column("version_id", ID, nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("hidden_at", MOMENT, nullable=False),
        sa.Column("swept_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint(*columns, name="pk_hidden_version"),
    )
    op.execute(
        "INSERT INTO hidden_version (version_id, space, document_id, hidden_at, swept_at) "
        "SELECT version_id, space, document_id, hidden_at, swept_at FROM hidden_version_before"
    )
    op.drop_table("hidden_version_before")
    for name, indexed, condition in _INDEXES:
        op.create_index(
            name, "hidden_version", indexed, sqlite_where=sa.text(condition) if condition is not None else None
        )
