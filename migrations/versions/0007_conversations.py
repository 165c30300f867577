"""Conversations, and with an answer the question as it stands alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

ID = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "conversation",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_conversation_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_conversation"),
    )
    op.create_index("ix_conversation_workspace_id_key_id_id", "conversation", ["workspace_id", "key_id", "id"])
    op.create_index("ix_conversation_workspace_id_user_name_id", "conversation", ["workspace_id", "user_name", "id"])
    op.create_index("ix_conversation_updated_at", "conversation", ["updated_at"])
    op.add_column("answer", sa.Column("standalone", sa.Text(), nullable=True))
    op.create_table(
        "answer_leaning",
        sa.Column("answer_id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["answer.id"], name="fk_answer_leaning_answer_id_answer", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("answer_id", "document_id", name="pk_answer_leaning"),
    )
    op.create_index("ix_answer_leaning_document_id", "answer_leaning", ["document_id"])


def downgrade() -> None:
    op.drop_table("answer_leaning")
    op.drop_column("answer", "standalone")
    op.drop_table("conversation")
