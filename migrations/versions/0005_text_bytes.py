"""A version knows how many bytes its stored text has: a purge need not ask the store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("version", sa.Column("text_bytes", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("version", "text_bytes")
