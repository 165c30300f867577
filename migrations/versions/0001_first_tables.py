"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Uuid().with_variant(sa.LargeBinary(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
ORDERED_TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "hidden_version",
        sa.Column("version_id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("space", sa.Text(), nullable=False),
        sa.Column("hidden_at", MOMENT, nullable=False),
        sa.Column("swept_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("version_id", name="pk_hidden_version"),
    )
    op.create_index("ix_hidden_version_swept_at_hidden_at", "hidden_version", ["swept_at", "hidden_at"])
    op.create_index(
        "ix_hidden_version_unswept",
        "hidden_version",
        ["space", "hidden_at", "version_id"],
        sqlite_where=sa.text("swept_at IS NULL"),
        postgresql_where=sa.text("swept_at IS NULL"),
    )
    op.create_table(
        "workspace",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workspace"),
        sa.UniqueConstraint("name", name="uq_workspace_name"),
    )
    op.create_table(
        "answer",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=True),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("conversation_id", ID, nullable=True),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sentences", sa.JSON(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("route", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("degraded", sa.Boolean(), nullable=False),
        sa.Column("timings_ms", sa.JSON(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_answer_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_answer"),
    )
    op.create_index("ix_answer_conversation_id_id", "answer", ["conversation_id", "id"])
    op.create_index("ix_answer_workspace_id_id", "answer", ["workspace_id", "id"])
    op.create_table(
        "api_key",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("group_names", sa.JSON(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_api_key_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("secret_hash", name="uq_api_key_secret_hash"),
    )
    op.create_index("ix_api_key_workspace_id_id", "api_key", ["workspace_id", "id"])
    op.create_table(
        "collection",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("live_index_id", ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_collection_workspace_id_workspace"),
        sa.PrimaryKeyConstraint("id", name="pk_collection"),
    )
    op.create_index("ix_collection_workspace_id_id", "collection", ["workspace_id", "id"])
    op.create_index(
        "uq_collection_undeleted_name",
        "collection",
        ["workspace_id", "name"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "deletion",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=True),
        sa.Column("readers", sa.JSON(), nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("vectors", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("bytes_reclaimed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_deletion_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_deletion"),
    )
    op.create_index("ix_deletion_document_id", "deletion", ["document_id"])
    op.create_index("ix_deletion_workspace_id_document_id_id", "deletion", ["workspace_id", "document_id", "id"])
    op.create_table(
        "idempotency",
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_idempotency_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace_id", "key_id", "name", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])
    op.create_table(
        "job",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("collection_id", ID, nullable=True),
        sa.Column("document_id", ID, nullable=True),
        sa.Column("retry_of", ID, nullable=True),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspace.id"], name="fk_job_workspace_id_workspace", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
    )
    op.create_index("ix_job_finished_at", "job", ["finished_at"])
    op.create_index("ix_job_sealed_created_at", "job", ["sealed", "created_at"])
    op.create_index("ix_job_workspace_id_id", "job", ["workspace_id", "id"])
    op.create_index("ix_job_workspace_id_state_id", "job", ["workspace_id", "state", "id"])
    op.create_table(
        "collection_index",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("collection_id", ID, nullable=False),
        sa.Column("chunker", sa.Text(), nullable=False),
        sa.Column("dense", sa.Text(), nullable=False),
        sa.Column("sparse", sa.Text(), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["collection.id"],
            name="fk_collection_index_collection_id_collection",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_collection_index"),
    )
    op.create_index("ix_collection_index_collection_id", "collection_index", ["collection_id"])
    op.create_table(
        "document",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("collection_id", ID, nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("readers", sa.JSON(), nullable=False),
        sa.Column("live_version_id", ID, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["collection_id"], ["collection.id"], name="fk_document_collection_id_collection"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.id"], name="fk_document_workspace_id_workspace"),
        sa.PrimaryKeyConstraint("id", name="pk_document"),
    )
    op.create_index("ix_document_collection_id_id", "document", ["collection_id", "id"])
    op.create_index("ix_document_workspace_id_id", "document", ["workspace_id", "id"])
    op.create_index(
        "uq_document_undeleted_external_id",
        "document",
        ["collection_id", "external_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "item",
        sa.Column("id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("document_id", ID, nullable=True),
        sa.Column("version_id", ID, nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("units_done", sa.Integer(), nullable=False),
        sa.Column("units_total", sa.Integer(), nullable=True),
        sa.Column("lease_owner", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", MOMENT, nullable=True),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("next_run_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_item_job_id_job", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_item"),
        sa.UniqueConstraint("job_id", "ordinal", name="uq_item_job_id_ordinal"),
    )
    op.create_index("ix_item_job_id_state_ordinal", "item", ["job_id", "state", "ordinal"])
    op.create_index("ix_item_state_kind_next_run_at", "item", ["state", "kind", "next_run_at"])
    op.create_index("ix_item_state_priority_id", "item", ["state", "priority", "id"])
    op.create_index("ix_item_version_id", "item", ["version_id"])
    op.create_table(
        "answer_citation",
        sa.Column("answer_id", ID, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.Column("chunk_id", ID, nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("quote", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["answer_id"], ["answer.id"], name="fk_answer_citation_answer_id_answer", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name="fk_answer_citation_document_id_document", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("answer_id", "n", name="pk_answer_citation"),
    )
    op.create_index("ix_answer_citation_document_id", "answer_citation", ["document_id"])
    op.create_table(
        "document_fact",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", ORDERED_TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name="fk_document_fact_document_id_document", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id", "key", name="pk_document_fact"),
    )
    op.create_table(
        "document_reader",
        sa.Column("document_id", ID, nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name="fk_document_reader_document_id_document", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("document_id", "reader", name="pk_document_reader"),
    )
    op.create_table(
        "version",
        sa.Column("id", ID, nullable=False),
        sa.Column("workspace_id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("loader", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("readers", sa.JSON(), nullable=False),
        sa.Column("pages", sa.Integer(), nullable=True),
        sa.Column("text_chars", sa.BigInteger(), nullable=True),
        sa.Column("chunks", sa.Integer(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["document_id"], ["document.id"], name="fk_version_document_id_document", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_version"),
        sa.UniqueConstraint("document_id", "seq", name="uq_version_document_id_seq"),
    )
    op.create_index(
        "ix_version_live_chunks",
        "version",
        ["chunks"],
        sqlite_where=sa.text("state = 'live'"),
        postgresql_where=sa.text("state = 'live'"),
    )
    op.create_table(
        "chunk",
        sa.Column("id", ID, nullable=False),
        sa.Column("index_id", ID, nullable=False),
        sa.Column("version_id", ID, nullable=False),
        sa.Column("document_id", ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("page", sa.Integer(), nullable=True),
        sa.Column("headings", sa.JSON(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["index_id"], ["collection_index.id"], name="fk_chunk_index_id_collection_index", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["version_id"], ["version.id"], name="fk_chunk_version_id_version", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_chunk"),
        sa.UniqueConstraint("version_id", "index_id", "ordinal", name="uq_chunk_version_id_index_id_ordinal"),
    )
    op.create_index("ix_chunk_index_id", "chunk", ["index_id"])


def downgrade() -> None:
    op.drop_table("chunk")
    op.drop_table("version")
    op.drop_table("document_reader")
    op.drop_table("document_fact")
    op.drop_table("answer_citation")
    op.drop_table("item")
    op.drop_table("document")
    op.drop_table("collection_index")
    op.drop_table("job")
    op.drop_table("idempotency")
    op.drop_table("deletion")
    op.drop_table("collection")
    op.drop_table("api_key")
    op.drop_table("answer")
    op.drop_table("workspace")
    op.drop_table("hidden_version")
