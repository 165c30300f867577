"""A job knows the key that asked for it: who may not read the document may follow its job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")


def upgrade() -> None:
    op.add_column("job", sa.Column("key_id", ID, nullable=True))


def downgrade() -> None:
    op.drop_column("job", "key_id")
