"""Models: how an answer came about, policies, templates, the books, summaries of conversations, marks of versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON()


def upgrade() -> None:
    op.add_column("version", sa.Column("marks", JSON, nullable=True))
    op.add_column("answer", sa.Column("trace", JSON, nullable=True))
    op.create_table(
        "conversation_summary",
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("through_id", ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation.id"],
            name="fk_conversation_summary_conversation_id_conversation",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_conversation_summary"),
    )
    op.create_table(
        "summary_leaning",
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversation_summary.conversation_id"],
            name="fk_summary_leaning_conversation_id_conversation_summary",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("conversation_id", "document_id", name="pk_summary_leaning"),
    )
    op.create_index("ix_summary_leaning_document_id", "summary_leaning", ["document_id"])
    op.create_table(
        "policy",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("collection_id", ID, nullable=True),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", JSON, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_policy_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["collection.id"], name="fk_policy_collection_id_collection", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_policy"),
        sa.UniqueConstraint("workspace_id", "scope", "number", name="uq_policy_workspace_id_scope_number"),
    )
    op.create_table(
        "template",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_template_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_template"),
        sa.UniqueConstraint("workspace_id", "name", "number", name="uq_template_workspace_id_name_number"),
    )
    op.create_table(
        "model_call",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("answer_id", ID, nullable=True),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=False),
        sa.Column("first_token_ms", sa.Float(), nullable=True),
        sa.Column("total_ms", sa.Float(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_model_call_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_call"),
    )
    op.create_index("ix_model_call_answer_id", "model_call", ["answer_id"])
    op.create_index("ix_model_call_workspace_id_day", "model_call", ["workspace_id", "day"])
    op.create_table(
        "model_usage",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_model_usage_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "day", "model", "key_id", name="pk_model_usage"),
    )


def downgrade() -> None:
    for name in ("model_usage", "model_call", "template", "policy", "summary_leaning", "conversation_summary"):
        op.drop_table(name)
    op.drop_column("answer", "trace")
    op.drop_column("version", "marks")
