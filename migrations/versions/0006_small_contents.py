"""Small originals and texts are rows, in installations whose files are in a bucket."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from app.db.types import ORDERED_TEXT

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "small_content",
        sa.Column("key", ORDERED_TEXT, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_small_content"),
    )


def downgrade() -> None:
    op.drop_table("small_content")
