"""Every table. A change here needs a migration; a test compares the two.

Ids of what may be gone while the row stays (a purged document's job, a removed version's note) carry no foreign key.
Neither do `collection.live_index_id` and `document.live_version_id`: each points at a row that points back.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Table, UniqueConstraint

from app.db.types import ID, JSON, MOMENT, ORDERED_TEXT

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

workspace = Table(
    "workspace",
    metadata,
    Column("id", ID, primary_key=True),
    Column("name", sa.Text, nullable=False, unique=True),
    Column("created_at", MOMENT, nullable=False),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("name", sa.Text, nullable=False),
    Column("prefix", sa.Text, nullable=False),
    Column("secret_hash", sa.Text, nullable=False, unique=True),
    Column("role", sa.Text, nullable=False),
    Column("user_name", sa.Text),
    Column("group_names", JSON, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("expires_at", MOMENT),
    Column("revoked_at", MOMENT),
    Index(None, "workspace_id", "id"),
)

collection = Table(
    "collection",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id"), nullable=False),
    Column("name", sa.Text, nullable=False),
    Column("description", sa.Text, nullable=False),
    Column("live_index_id", ID, nullable=False),
    Column("building_index_id", ID),  # a second one, not asked yet
    Column("standby_index_id", ID),  # the one that was live before, to go back to
    Column("created_at", MOMENT, nullable=False),
    Column("updated_at", MOMENT, nullable=False),
    Column("deleted_at", MOMENT),
    Index(None, "workspace_id", "id"),
    Index(
        "uq_collection_undeleted_name",
        "workspace_id",
        "name",
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    ),
)

collection_index = Table(
    "collection_index",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, nullable=False),
    Column("collection_id", ID, ForeignKey("collection.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("chunker", sa.Text, nullable=False),
    Column("dense", sa.Text, nullable=False),
    Column("sparse", sa.Text, nullable=False),
    Column("dimensions", sa.Integer, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Column("dropped_at", MOMENT),  # no collection names it any more; its points and chunks are removed, then its row
)

document = Table(
    "document",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id"), nullable=False),
    Column("collection_id", ID, ForeignKey("collection.id"), nullable=False),
    Column("external_id", sa.Text),
    Column("title", sa.Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("readers", JSON, nullable=False),
    Column("live_version_id", ID),
    Column("created_at", MOMENT, nullable=False),
    Column("updated_at", MOMENT, nullable=False),
    Column("deleted_at", MOMENT),
    Index(None, "workspace_id", "id"),
    Index(None, "collection_id", "id"),
    Index(
        "uq_document_undeleted_external_id",
        "collection_id",
        "external_id",
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
    ),
)

# `document.readers` and `document.metadata` again, one a row, for conditions in SQL.
document_reader = Table(
    "document_reader",
    metadata,
    Column("document_id", ID, ForeignKey("document.id", ondelete="CASCADE"), primary_key=True),
    Column("reader", sa.Text, primary_key=True),
)

document_fact = Table(
    "document_fact",
    metadata,
    Column("document_id", ID, ForeignKey("document.id", ondelete="CASCADE"), primary_key=True),
    Column("key", sa.Text, primary_key=True),
    Column("kind", sa.Text, nullable=False),  # string, number, boolean
    Column("value", ORDERED_TEXT, nullable=False),  # as app.db.filters_sql.ordered writes it
)

version = Table(
    "version",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, nullable=False),
    Column("document_id", ID, ForeignKey("document.id", ondelete="CASCADE"), nullable=False),
    Column("seq", sa.Integer, nullable=False),
    Column("state", sa.Text, nullable=False),
    Column("filename", sa.Text, nullable=False),
    Column("media_type", sa.Text, nullable=False),
    Column("sha256", sa.Text, nullable=False),
    Column("size_bytes", sa.BigInteger, nullable=False),
    Column("loader", sa.Text, nullable=False),
    Column("title", sa.Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("readers", JSON, nullable=False),
    Column("pages", sa.Integer),
    Column("text_chars", sa.BigInteger),
    Column("text_bytes", sa.BigInteger),
    Column("chunks", sa.Integer),
    Column("marks", JSON),  # null: none
    Column("created_at", MOMENT, nullable=False),
    UniqueConstraint("document_id", "seq"),
    Index(
        "ix_version_live_chunks",  # the total of live chunks without reading a version's row
        "chunks",
        sqlite_where=sa.text("state = 'live'"),
        postgresql_where=sa.text("state = 'live'"),
    ),
)

# Outlives its version's row: points may still be in the index when the row is gone.
hidden_version = Table(
    "hidden_version",
    metadata,
    Column("version_id", ID, primary_key=True),
    Column("space", sa.Text, primary_key=True),
    Column("document_id", ID, nullable=False),
    Column("hidden_at", MOMENT, nullable=False),
    Column("swept_at", MOMENT),
    Index(
        "ix_hidden_version_unswept",
        "space",
        "hidden_at",
        "version_id",
        sqlite_where=sa.text("swept_at IS NULL"),
        postgresql_where=sa.text("swept_at IS NULL"),
    ),
    Index(None, "swept_at", "hidden_at"),
)

chunk = Table(
    "chunk",
    metadata,
    Column("id", ID, primary_key=True),
    Column("index_id", ID, ForeignKey("collection_index.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("version_id", ID, ForeignKey("version.id", ondelete="CASCADE"), nullable=False),
    Column("document_id", ID, nullable=False),  # of the version; saves a search one join
    Column("ordinal", sa.Integer, nullable=False),
    Column("start", sa.BigInteger, nullable=False),
    Column("end", sa.BigInteger, nullable=False),
    Column("page", sa.Integer),
    Column("headings", JSON, nullable=False),
    Column("text", sa.Text, nullable=False),
    UniqueConstraint("version_id", "index_id", "ordinal"),
)

# A version whose chunks are all cut for an index: there are so many, and are their points all written?
indexed_version = Table(
    "indexed_version",
    metadata,
    Column("index_id", ID, ForeignKey("collection_index.id", ondelete="CASCADE"), primary_key=True),
    Column("version_id", ID, ForeignKey("version.id", ondelete="CASCADE"), primary_key=True),
    Column("chunks", sa.Integer, nullable=False),
    Column("whole", sa.Boolean, nullable=False),
    Index(None, "version_id"),
)

job = Table(
    "job",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column("state", sa.Text, nullable=False),
    Column("sealed", sa.Boolean, nullable=False),  # all its items are there; only then it may become final
    Column("collection_id", ID),
    Column("document_id", ID),
    Column("retry_of", ID),
    Column("total", sa.Integer, nullable=False),
    Column("done", sa.Integer, nullable=False),
    Column("failed", sa.Integer, nullable=False),
    Column("warnings", JSON, nullable=False),
    Column("error", JSON),
    Column("request_id", sa.Text),
    Column("key_id", ID),  # that asked for it
    Column("created_at", MOMENT, nullable=False),
    Column("started_at", MOMENT),
    Column("finished_at", MOMENT),
    Index(None, "workspace_id", "id"),
    Index(None, "workspace_id", "state", "id"),
    Index(None, "sealed", "created_at"),
    Index(None, "finished_at"),
)

item = Table(
    "item",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job_id", ID, ForeignKey("job.id", ondelete="CASCADE"), nullable=False),
    Column("workspace_id", ID, nullable=False),
    Column("kind", sa.Text, nullable=False),
    Column("family", sa.Text, nullable=False, server_default="ingest"),  # of kinds that are claimed together
    Column("ordinal", sa.Integer, nullable=False),
    Column("document_id", ID),
    Column("version_id", ID, index=True),
    Column("state", sa.Text, nullable=False),
    Column("stage", sa.Text, nullable=False),
    Column("priority", sa.Integer, nullable=False),  # a smaller one is claimed first
    Column("units_done", sa.Integer, nullable=False),
    Column("units_total", sa.Integer),
    Column("lease_owner", sa.Text),
    Column("lease_expires_at", MOMENT),
    Column("lease_token", sa.BigInteger, nullable=False),
    Column("failures", sa.Integer, nullable=False),
    Column("losses", sa.Integer, nullable=False),
    Column("next_run_at", MOMENT, nullable=False),
    Column("finished_at", MOMENT),
    Column("warnings", JSON, nullable=False),
    Column("error", JSON),
    UniqueConstraint("job_id", "ordinal"),
    Index(None, "job_id", "state", "ordinal"),  # counts and listings of a job
    Index(None, "state", "family", "workspace_id", "priority", "id"),  # the order in which items are claimed
    Index(None, "state", "kind", "next_run_at"),  # the next moment at which one may be; counts
    Index(
        "ix_item_finished",  # how many ended lately
        "finished_at",
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    ),
)

# Whose turn it is: the workspace with the smallest number, or with none, was served the longest ago.
turn = Table(
    "turn",
    metadata,
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True),
    Column("family", sa.Text, primary_key=True),  # as of items
    Column("served", sa.BigInteger, nullable=False),
)

deletion = Table(
    "deletion",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("document_id", ID, nullable=False, index=True),
    Column("job_id", ID),
    Column("readers", JSON, nullable=False),  # those that the document had
    Column("requested_at", MOMENT, nullable=False),
    Column("finished_at", MOMENT),
    Column("rows", sa.Integer, nullable=False),
    Column("chunks", sa.Integer, nullable=False),
    Column("vectors", sa.Integer, nullable=False),
    Column("bytes", sa.BigInteger, nullable=False),
    Column("bytes_reclaimed", sa.BigInteger, nullable=False),
    Index(None, "workspace_id", "document_id", "id"),
)

# What looks at the stores found: what the metrics show, whichever process looked.
drift_report = Table(
    "drift_report",
    metadata,
    Column("id", ID, primary_key=True),
    Column("started_at", MOMENT, nullable=False),
    Column("finished_at", MOMENT, nullable=False),
    Column("found", JSON, nullable=False),
    Column("repaired", JSON, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True),
    Column("key_id", ID, primary_key=True),
    Column("name", sa.Text, primary_key=True),
    Column("fingerprint", sa.Text, nullable=False),
    Column("status", sa.Integer),  # null while the first request is under way
    Column("body", sa.Text, nullable=False),
    Column("location", sa.Text),
    Column("created_at", MOMENT, nullable=False, index=True),
)

# Its turns are answers, which go with it; whose it is, its key or user says.
conversation = Table(
    "conversation",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("key_id", ID),
    Column("user_name", sa.Text),
    Column("title", sa.Text, nullable=False),  # empty until the first turn
    Column("created_at", MOMENT, nullable=False),
    Column("updated_at", MOMENT, nullable=False, index=True),
    Index(None, "workspace_id", "key_id", "id"),
    Index(None, "workspace_id", "user_name", "id"),
)

answer = Table(
    "answer",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("key_id", ID),
    Column("user_name", sa.Text),
    Column("conversation_id", ID),
    Column("question", sa.Text, nullable=False),
    Column("standalone", sa.Text),  # what was searched and answered, where that is another
    Column("status", sa.Text, nullable=False),  # answered, no_answer, refused
    Column("text", sa.Text, nullable=False),
    Column("sentences", JSON, nullable=False),
    Column("confidence", sa.Float),
    Column("route", sa.Text),
    Column("model", sa.Text),
    Column("degraded", sa.Boolean, nullable=False),
    Column("timings_ms", JSON, nullable=False),
    Column("usage", JSON, nullable=False),
    Column("trace", JSON),  # how it came about; null for those that were written before there was one
    Column("warnings", JSON, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Index(None, "workspace_id", "id"),
    Index(None, "conversation_id", "id"),
)

# What the turns up to one of them said, for prompts; made anew where a document that it leans on is gone or closed.
conversation_summary = Table(
    "conversation_summary",
    metadata,
    Column("conversation_id", ID, ForeignKey("conversation.id", ondelete="CASCADE"), primary_key=True),
    Column("through_id", ID, nullable=False),  # the last answer that is in it
    Column("text", sa.Text, nullable=False),
    Column("created_at", MOMENT, nullable=False),
)

summary_leaning = Table(
    "summary_leaning",
    metadata,
    Column(
        "conversation_id", ID, ForeignKey("conversation_summary.conversation_id", ondelete="CASCADE"), primary_key=True
    ),
    Column("document_id", ID, primary_key=True, index=True),
)

# Versions of policies; the greatest number of a scope is in force. None is ever changed: going back writes a new one.
policy = Table(
    "policy",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("collection_id", ID, ForeignKey("collection.id", ondelete="CASCADE")),  # null: of the workspace
    Column("scope", sa.Text, nullable=False),  # the collection's id, or empty: what a null can't be held unique by
    Column("number", sa.Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("note", sa.Text, nullable=False),
    Column("key_id", ID),
    Column("created_at", MOMENT, nullable=False),
    UniqueConstraint("workspace_id", "scope", "number"),
)

template = Table(
    "template",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("name", sa.Text, nullable=False),
    Column("number", sa.Integer, nullable=False),
    Column("system", sa.Text, nullable=False),
    Column("user", sa.Text, nullable=False),
    Column("note", sa.Text, nullable=False),
    Column("key_id", ID),
    Column("created_at", MOMENT, nullable=False),
    UniqueConstraint("workspace_id", "name", "number"),
)

# The books: a call stays when its answer goes.
model_call = Table(
    "model_call",
    metadata,
    Column("id", ID, primary_key=True),
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), nullable=False),
    Column("key_id", ID),
    Column("answer_id", ID, index=True),
    Column("day", sa.Text, nullable=False),  # as 2026-11-28, UTC
    Column("model", sa.Text, nullable=False),
    Column("purpose", sa.Text, nullable=False),
    Column("outcome", sa.Text, nullable=False),
    Column("prompt_tokens", sa.BigInteger, nullable=False),
    Column("completion_tokens", sa.BigInteger, nullable=False),
    Column("cached_tokens", sa.BigInteger, nullable=False),
    Column("cost_usd", sa.Float, nullable=False),
    Column("first_token_ms", sa.Float),
    Column("total_ms", sa.Float, nullable=False),
    Column("created_at", MOMENT, nullable=False),
    Index(None, "workspace_id", "day"),
)

# Their sums, written in the same transaction: what a workspace has spent today is asked for every question. Of a month
# of 1,000,000 calls the sum of one day took 13 ms, and all by day and model 0.5 to 2.4 s, over an index of the calls
# themselves that held all columns; over this table 1 ms, and 8 to 27 ms.
model_usage = Table(
    "model_usage",
    metadata,
    Column("workspace_id", ID, ForeignKey("workspace.id", ondelete="CASCADE"), primary_key=True),
    Column("day", sa.Text, primary_key=True),
    Column("model", sa.Text, primary_key=True),
    Column("key_id", ID, primary_key=True),  # all zeros where there was no key: what a null can't be held unique by
    Column("calls", sa.BigInteger, nullable=False),
    Column("failures", sa.BigInteger, nullable=False),
    Column("prompt_tokens", sa.BigInteger, nullable=False),
    Column("completion_tokens", sa.BigInteger, nullable=False),
    Column("cached_tokens", sa.BigInteger, nullable=False),
    Column("cost_usd", sa.Float, nullable=False),
)

# The documents that words of an answer's standalone question came from; while one of them is gone, it is not shown.
answer_leaning = Table(
    "answer_leaning",
    metadata,
    Column("answer_id", ID, ForeignKey("answer.id", ondelete="CASCADE"), primary_key=True),
    Column("document_id", ID, primary_key=True, index=True),
)

# A quote is a piece of its document and goes when that is purged.
answer_citation = Table(
    "answer_citation",
    metadata,
    Column("answer_id", ID, ForeignKey("answer.id", ondelete="CASCADE"), primary_key=True),
    Column("n", sa.Integer, primary_key=True),
    Column("document_id", ID, ForeignKey("document.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("version_id", ID, nullable=False),
    Column("chunk_id", ID, nullable=False),
    Column("start", sa.BigInteger, nullable=False),
    Column("end", sa.BigInteger, nullable=False),
    Column("page", sa.Integer),
    Column("quote", sa.Text, nullable=False),
    Column("score", sa.Float),
)

# Originals and texts that are small, in production mode; see app.stores.small_files.
small_content = Table(
    "small_content",
    metadata,
    Column("key", ORDERED_TEXT, primary_key=True),
    Column("content", sa.LargeBinary, nullable=False),
)
