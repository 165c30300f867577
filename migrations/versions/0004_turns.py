"""Workspaces take turns: who was served when, and the indexes by which a claim finds it quickly."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "turn",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("served", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_turn_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "family", name="pk_turn"),
    )
    op.add_column("item", sa.Column("family", sa.Text(), nullable=False, server_default="ingest"))
    op.execute("UPDATE item SET family = kind WHERE kind NOT IN ('ingest', 'batch')")
    op.create_index(
        "ix_item_state_family_workspace_id_priority_id", "item", ["state", "family", "workspace_id", "priority", "id"]
    )
    op.create_index(
        "ix_item_finished",
        "item",
        ["finished_at"],
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.drop_index("ix_item_state_priority_id", "item")


def downgrade() -> None:
    op.create_index("ix_item_state_priority_id", "item", ["state", "priority", "id"])
    op.drop_index("ix_item_finished", "item")
    op.drop_index("ix_item_state_family_workspace_id_priority_id", "item")
    op.drop_column("item", "family")
    op.drop_table("turn")
