"""What requests and replies look like. Requests are checked against these; replies are written by `represent`."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Metadata = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
            "maxProperties": 64,
            "description": "Flat: strings, numbers and booleans.",
        }
    ),
]
Readers = Annotated[
    list[str],
    Field(description="`*`, `user:NAME`, `group:NAME`", examples=[["group:finance", "user:ann"]]),
]
FilterJson = Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/Filter"})]

JobStateName = Literal["queued", "running", "completed", "completed_with_warnings", "failed", "cancelled"]
PriorityName = Literal["person", "bulk"]
RoleName = Literal["admin", "editor", "reader"]
MAX_ID_CHARS = 512
MAX_NUMBER = 999_999_999


class Request(BaseModel):
    """A request body: JSON types are taken as they are, unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CollectionBody(Request):
    """A new collection."""

    name: str = Field(description="1 to 64 letters, digits, `.`, `_`, `-`", examples=["handbook"])
    description: str = ""


class CollectionChange(Request):
    """What is to change; what is left out stays."""

    name: str | None = None
    description: str | None = None


class TextBody(Request):
    """A document given as text."""

    text: str | None = Field(None, examples=["Invoices are paid within 30 days."])
    url: str | None = Field(None, description="not supported: this service fetches nothing")
    format: Literal["text", "markdown"] = "text"
    title: str | None = None
    metadata: Metadata | None = None
    readers: Readers | None = None


class DocumentBody(TextBody):
    """A document given as text, and where it goes."""

    collection: str = Field(examples=["handbook"])
    external_id: str | None = Field(None, description="your own name for it; a second upload replaces the first")


class PutBody(TextBody):
    """A document given as text, for the external id of the path."""

    collection: str | None = Field(None, description="as in the query, or left out")


class BatchLine(Request):
    """One line of a batch."""

    text: str
    external_id: str | None = None
    title: str | None = None
    metadata: Metadata | None = None
    readers: Readers | None = None


class DocumentChange(Request):
    """What is to change; what is left out stays. Nothing is embedded anew."""

    title: str | None = None
    metadata: Metadata | None = None
    readers: Readers | None = None


class SearchBody(Request):
    """A search."""

    query: str = Field(examples=["When are invoices paid?"])
    collections: list[str] | None = Field(None, description="names; all of the workspace where left out")
    filter: FilterJson | None = None
    limit: int = Field(10, ge=1, le=200, description="hits, or documents where they are grouped")
    mode: Literal["hybrid", "dense", "sparse"] = "hybrid"
    group: Literal["document"] | None = Field(None, description="`document`: only the best hit of each")
    explain: bool = False


class AskBody(Request):
    """A question."""

    question: str = Field(examples=["When are invoices paid?"])
    collections: list[str] | None = Field(None, description="names; all of the workspace where left out")
    filter: FilterJson | None = None
    max_sources: int = Field(10, ge=1, le=50, description="passages that the answer may draw on")
    explain: bool = Field(default=False, description="with the sentences that were weighed")
    conversation_id: Annotated[uuid.UUID, Field(strict=False)] | None = Field(
        None, description="of POST /v1/conversations; the question may lean on its turns"
    )
    model: str | None = Field(
        None,
        max_length=200,
        description="of GET /v1/models, or `extractive`; chosen by policy and question where left out",
    )
    response_schema: dict[str, Any] | None = Field(
        None, description="a JSON Schema (2020-12) that `output` is to meet; needs a model"
    )
    max_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="most that this question may cost")
    stream: bool = Field(default=False, description="as server-sent events: sources, sentence, answer, or error")
    deltas: bool = Field(
        default=False, description="with `stream`: the model's raw text too, provisional, as events `delta` and `reset`"
    )


class AskMessage(AskBody):
    """A question over a web socket."""

    key: str | None = Field(None, description="an API key, in the first message, where no header carries it")


class ReplayBody(Request):
    """An answer once more."""

    model: str | None = Field(
        None, max_length=200, description="of GET /v1/models, or `extractive`; the same where left out"
    )
    max_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="most that it may cost")


class KeyBody(Request):
    """A new API key."""

    name: str = Field(examples=["importer"])
    role: RoleName
    user: str | None = Field(None, description="opens documents with the reader `user:NAME`")
    groups: list[str] = []
    expires_at: Annotated[dt.datetime, Field(strict=False)] | None = None
    workspace: str | None = Field(None, description="the caller's own where left out")


class ConversationBody(Request):
    """A new conversation."""

    title: str | None = Field(None, description="that of its first question where left out")


class ConversationChange(Request):
    """A conversation's new title."""

    title: str


IfNumber = Annotated[
    int | None,
    Field(ge=0, le=MAX_NUMBER, description="set it only while this version is in force; 0: while there is none"),
]
_MODELS = "names that may be asked; null: all; none: extractive answers alone"
_SUPPORT = "least support of a sentence; null: the checker's own"


class PolicyFields(Request):
    """The rules of answers. What is left out has its default: a policy is set as a whole."""

    role: str = Field("", description="who the model is to be", examples=["You are the clerk of a harbour."])
    tone: str = Field("", examples=["plain"])
    language: str | None = Field(None, description="of answers, BCP 47; the question's where null", examples=["de"])
    models: list[str] | None = Field(None, description=_MODELS)
    default_model: str | None = Field(None, description="where a caller names none; `extractive` is one too")
    template: str = Field("default", description="its name")
    citations_required: bool = True
    minimum_support: float | None = Field(None, ge=0, le=1, allow_inf_nan=False, description=_SUPPORT)
    unsupported: Literal["remove", "flag", "retry"] = "remove"
    refused_topics: list[str] = Field([], description="words or phrases", examples=[["salaries"]])
    max_answer_chars: int | None = Field(None, ge=1, le=1_000_000)
    personal_data: Literal["allow", "mask", "refuse"] = "allow"
    output_format: Literal["text", "list"] = "text"
    max_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="of one request")
    daily_cost_usd: float | None = Field(None, ge=0, allow_inf_nan=False, description="of the workspace")


class PolicyBody(PolicyFields):
    """A policy, and why it is set."""

    note: str = ""
    if_number: IfNumber = None


class TemplateFields(Request):
    """A prompt template: Jinja2 with variables, `if`, comparisons and a few filters."""

    system: str = Field(description="holds `{{ rules }}`", examples=["{{ role }}\n{{ rules }}"])
    user: str = Field(
        description="holds `{{ sources }}` and `{{ question }}`",
        examples=["{{ sources }}\n{{ conversation }}\n{{ corrections }}\n{{ question }}"],
    )


class TemplateBody(TemplateFields):
    """A template, and why it is set."""

    note: str = ""
    if_number: IfNumber = None


class RollbackBody(Request):
    """The version to go back to."""

    number: int = Field(ge=0, le=MAX_NUMBER, description="0: a template that comes with the product")
    if_number: IfNumber = None


class PreviewSource(Request):
    """A passage to try a prompt with."""

    title: str = "A title"
    text: str
    page: int | None = None
    marks: list[str] = Field([], description="as ingestion sets them: `instructions`, `hidden_text`")


class PreviewBody(Request):
    """What is to be tried; what is left out is as it is now."""

    policy: PolicyFields | None = Field(None, description="of the workspace, or of `collection`")
    collection: str | None = None
    template: TemplateFields | None = None
    question: str = "What do the sources say?"
    collections: list[str] | None = Field(None, description="that are asked; all of the workspace where left out")
    sources: list[PreviewSource] | None = Field(None, max_length=50)


class WorkspaceBody(Request):
    """A new workspace."""

    name: str = Field(examples=["team-b"])


class Reply(BaseModel):
    """A reply."""

    model_config = ConfigDict(extra="forbid")


class FieldError(Reply):
    """A part of a request that does not fit."""

    loc: list[str]
    message: str
    type: str


class RejectedLine(Reply):
    """A line of a batch that did not go in."""

    line: int = Field(description="from 1")
    code: str
    message: str


class Problem(BaseModel):
    """What went wrong (RFC 9457). `code` is stable; `detail` is for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None
    errors: list[FieldError] | None = None
    rejected: list[RejectedLine] | None = None


class CollectionView(Reply):
    """A collection."""

    id: str
    name: str
    description: str
    documents: int = Field(description="that the caller may read")
    created_at: dt.datetime
    updated_at: dt.datetime


class FingerprintsView(Reply):
    """What an index is built with."""

    chunker: str
    dense: str
    sparse: str


class IndexView(Reply):
    """One index of a collection."""

    id: str
    role: Literal["live", "building", "standby"]
    fingerprints: FingerprintsView
    dimensions: int
    versions: int = Field(description="live versions of the collection that are whole in it")
    chunks: int = Field(description="theirs")
    missing: int = Field(description="live versions that are not; it can answer when there are none")
    created_at: dt.datetime


class IndexesView(Reply):
    """The indexes of a collection, the live one first."""

    data: list[IndexView]


class ReindexBody(Request):
    """What is to be built."""

    force: bool = Field(default=False, description="build anew although the live index is built so already")


class EstimateView(Reply):
    """What building a new index would take."""

    needed: bool = Field(description="false where the live index is built with this model and chunker already")
    fingerprints: FingerprintsView
    dimensions: int
    versions: int
    chunks: int = Field(description="as the live index has them; another chunker may cut more or fewer")
    chunks_per_second: float = Field(description="of one process, measured just now on some of them")
    seconds: float
    vector_bytes: int


class CompareBody(Request):
    """Questions for both indexes."""

    queries: list[str] = Field(min_length=1, max_length=100)
    limit: int = Field(10, ge=1, le=50)


class ComparisonView(Reply):
    """What both indexes find for one question."""

    query: str
    shared: float = Field(description="share of the documents found that both found, [0, 1]")
    live: list[HitView]
    other: list[HitView]


class ComparisonsView(Reply):
    """Both results for each question, and the mean share."""

    shared: float
    data: list[ComparisonView]


class DocumentView(Reply):
    """A document."""

    id: str
    external_id: str | None
    title: str
    collection: str
    media_type: str | None
    size_bytes: int | None
    metadata: Metadata
    readers: list[str]
    live_version_id: str | None
    state: Literal["pending", "live", "failed"]
    created_at: dt.datetime
    updated_at: dt.datetime


class VersionView(Reply):
    """One accepted upload of a document."""

    id: str
    seq: int = Field(description="order of acceptance, from 1")
    sha256: str
    size_bytes: int
    pages: int | None
    chunks: int | None
    marks: list[str] = Field(
        description="`instructions`: it gives orders to a model; `hidden_text`: it holds what its readers do not see"
    )
    state: Literal["pending", "live", "superseded", "failed", "deleted"]
    created_at: dt.datetime


class PageSpan(Reply):
    """Where a page stands in the text."""

    page: int
    start: int
    end: int


class TextView(Reply):
    """A piece of a version's text; offsets count code points, or UTF-16 units where these were asked for."""

    version_id: str
    text: str
    start: int
    end: int
    total_chars: int
    pages: list[PageSpan]


class ChunkView(Reply):
    """A passage of the live version."""

    id: str
    version_id: str
    ordinal: int
    page: int | None
    start: int
    end: int
    headings: list[str]
    text: str


class DeletionView(Reply):
    """The receipt of a delete."""

    document_id: str
    job_id: str | None
    requested_at: dt.datetime
    finished_at: dt.datetime | None = Field(
        description="null while the purge is under way. The index's own log and segments keep metadata and vectors of what "
        "was deleted, no text, until they are compacted at a start"
    )
    rows: int
    chunks: int
    vectors: int
    bytes: int
    bytes_reclaimed: int


class Progress(Reply):
    """How far a job has come, counted."""

    done: int
    failed: int
    total: int | None = Field(description="null before it is known")
    unit: Literal["chunks", "documents"]


class JobWarning(Reply):
    """Something to know of a job that went through."""

    code: str
    message: str
    page: int | None


class JobError(Reply):
    """Why a job or an item failed."""

    code: str
    message: str
    retryable: bool


class JobView(Reply):
    """A job."""

    id: str
    kind: Literal["ingest", "batch", "purge", "refresh", "reindex"]
    state: JobStateName
    stage: str | None
    progress: Progress
    retry_of: str | None
    queue_position: int | None = Field(description="about how many waiting documents come before it")
    estimated_start_seconds: int | None = Field(
        description="until it begins, at the pace of the last minutes; null where nothing tells"
    )
    document_id: str | None
    collection: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None
    warnings: list[JobWarning]
    error: JobError | None


class ItemView(Reply):
    """One document of a job."""

    id: str
    line: int = Field(description="from 1; of a batch, its line")
    document_id: str | None
    version_id: str | None
    state: JobStateName
    stage: str
    progress: Progress
    failures: int
    warnings: list[JobWarning]
    error: JobError | None


class AcceptedView(Reply):
    """What became of an upload."""

    document_id: str
    version_id: str
    job_id: str | None
    state: str = Field(description="of the version")
    outcome: Literal["accepted", "unchanged", "updated", "under_way"]
    job: JobView | None = Field(None, description="with ?wait")


class BulkDeleteBody(Request):
    """Which documents: those that a filter finds, or all that the caller may read."""

    collection: str
    filter: FilterJson | None = None
    all: bool = Field(default=False, description="said where there is no filter")
    dry_run: bool = Field(default=False, description="only count them")


class BulkChangeBody(BulkDeleteBody):
    """Which documents, and what they get."""

    metadata: Metadata | None = Field(None, description="as a whole")
    readers: Readers | None = None


class BulkView(Reply):
    """How many documents there were, and the job that does the rest."""

    job_id: str | None = Field(description="null with `dry_run`")
    documents: int


class RemovedView(Reply):
    """A delete that has hidden what it names; the job purges it."""

    document_id: str | None
    job_id: str
    state: Literal["deleted"]
    job: JobView | None = Field(None, description="with ?wait")


class BatchView(Reply):
    """What became of a batch."""

    job_id: str
    accepted: int = Field(description="lines that the job ingests: its total")
    unchanged: int = Field(description="lines equal to what is there")
    updated: int = Field(description="lines of which only title, metadata or readers differ: these are changed")
    under_way: int = Field(description="lines that an earlier upload, or one of this batch, is ingesting already")
    rejected: list[RejectedLine] = Field(description="the first 1,000")
    rejected_total: int
    job: JobView | None = Field(None, description="with ?wait")


class ImportView(Reply):
    """What became of an archive's documents."""

    collection: str
    created: bool = Field(description="the collection was made for it")
    documents: int = Field(description="in the archive")
    done: int = Field(description="of these: the sum of the following four")
    added: int
    replaced: int = Field(description="a new version of a document with the same external id")
    unchanged: int = Field(description="there just so")
    under_way: int = Field(description="there just so, being ingested")
    as_they_are: bool = Field(
        description="chunks and vectors were taken over; else the collection is built otherwise, and originals are ingested"
    )
    job_ids: list[str] = Field(description="jobs that still ingest")


class HitExplanation(Reply):
    """Where each side ranked a hit."""

    dense_rank: int | None
    dense_score: float | None
    sparse_rank: int | None
    sparse_score: float | None


class HitView(Reply):
    """A passage: `text` is exactly characters [start, end) of the version's text."""

    chunk_id: str
    document_id: str
    external_id: str | None
    version_id: str
    title: str
    text: str
    score: float
    page: int | None
    start: int
    end: int
    headings: list[str]
    explain: HitExplanation | None = None


class ExplanationView(Reply):
    """How a result came about."""

    mode: Literal["hybrid", "dense", "sparse"]
    depth: int
    dense_found: int
    sparse_found: int
    refills: int
    excluded_versions: int
    removed: dict[str, int]


class SearchView(Reply):
    """Hits, best first."""

    hits: list[HitView]
    explanation: ExplanationView | None = None
    timings_ms: dict[str, float] | None = None


class SentenceView(Reply):
    """A sentence: characters [start, end) of the answer's text."""

    text: str
    start: int
    end: int
    citations: list[int]
    support: float


class CitationView(Reply):
    """A verified place: `quote` is exactly characters [start, end) of the version's text."""

    n: int
    document_id: str
    external_id: str | None
    version_id: str
    title: str
    chunk_id: str
    page: int | None
    start: int
    end: int
    quote: str
    verified: Literal[True]
    score: float


class CandidateView(Reply):
    """A sentence that was weighed."""

    text: str
    document_id: str
    external_id: str | None
    version_id: str
    page: int | None
    start: int
    end: int
    score: float


class EvidenceView(Reply):
    """A passage that who answered was given."""

    document_id: str
    version_id: str
    chunk_id: str
    score: float


class AttemptView(Reply):
    """A model that was asked, and how it went: `ok`, or the error's code."""

    model: str
    outcome: str
    first_token_ms: float | None
    total_ms: float


class FieldView(Reply):
    """Where a field of `output` comes from."""

    path: str = Field(description="JSON Pointer into `output`")
    citations: list[int]
    support: float


class UsageView(Reply):
    """What models used; nothing, where none was asked."""

    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


class UsageSums(Reply):
    """What calls of models used."""

    calls: int
    failures: int = Field(description="calls that gave no text")
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = Field(description="of the prompts', those that the provider had read before")
    cost_usd: float


class UsageLineView(UsageSums):
    """The same, under one combination of the things that it was asked by."""

    day: str | None = None
    model: str | None = None
    key_id: str | None = Field(None, description="null for calls without a key")
    workspace_id: str | None = None


class UsageReportView(Reply):
    """What was used from the first to the last day."""

    from_: str = Field(alias="from")
    to: str
    total: UsageSums
    data: list[UsageLineView]


class NoticeView(Reply):
    """What the asker should know."""

    code: str
    message: str


class AnswerView(Reply):
    """An answer."""

    id: str
    status: Literal["answered", "no_answer", "refused"]
    question: str
    standalone_question: str | None = Field(description="what was answered, where the question leant on earlier turns")
    text: str
    sentences: list[SentenceView]
    citations: list[CitationView]
    nearest: list[HitView] | None = Field(None, description="passages that come nearest, with no_answer")
    output: Any = Field(None, description="with response_schema: what meets it")
    fields: list[FieldView] | None = Field(None, description="with response_schema: those fields that the sources hold")
    confidence: float = Field(
        description="probability that the answer is right; of a model's answer, the support of its weakest sentence"
    )
    model: str
    route: str = Field(description="`extractive`, or the tier of the model that answered")
    route_reason: str
    template: str | None = Field(description="name@number of the prompt's template; null where no model answered")
    policy: str | None = Field(description="the policies in force; null where none is set")
    evidence: list[EvidenceView]
    attempts: list[AttemptView]
    replay_of: str | None
    degraded: bool = Field(description="whether no model that was asked could answer, and the extractive answerer did")
    conversation_id: str | None
    candidates: list[CandidateView] | None = Field(None, description="with explain, best first")
    usage: UsageView
    timings_ms: dict[str, float]
    warnings: list[NoticeView]
    created_at: dt.datetime


class ReplayView(Reply):
    """An answer and what it is now, side by side."""

    original: AnswerView
    replay: AnswerView
    same_text: bool
    same_evidence: bool


class ConversationView(Reply):
    """A conversation; its turns are answers."""

    id: str
    title: str
    created_at: dt.datetime
    updated_at: dt.datetime


class ConversationRemoval(Reply):
    """The receipt of a conversation's deletion."""

    conversation_id: str
    answers: int = Field(description="that were deleted with it")
    summaries: int = Field(description="of its turns, for models, that were deleted with it")
    deleted_at: dt.datetime


class KeyView(Reply):
    """An API key; its secret is not kept."""

    id: str
    name: str
    prefix: str
    role: RoleName
    user: str | None
    groups: list[str]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None


class NewKeyView(KeyView):
    """A new API key."""

    secret: str = Field(description="shown this once")


class WorkspaceView(Reply):
    """A workspace."""

    id: str
    name: str
    created_at: dt.datetime


class PolicyView(Reply):
    """The rules of answers."""

    role: str
    tone: str
    language: str | None
    models: list[str] | None
    default_model: str | None
    template: str
    citations_required: bool
    minimum_support: float | None
    unsupported: Literal["remove", "flag", "retry"]
    refused_topics: list[str]
    max_answer_chars: int | None
    personal_data: Literal["allow", "mask", "refuse"]
    output_format: Literal["text", "list"]
    max_cost_usd: float | None
    daily_cost_usd: float | None


class PolicyVersionView(Reply):
    """A policy as it was set at one time."""

    number: int = Field(description="0: none was set; these are the defaults")
    policy: PolicyView
    note: str
    created_at: dt.datetime | None
    key_id: str | None
    warnings: list[str] = Field(description="what to know before it is used, as models that the catalogue has not")


class TemplateVersionView(Reply):
    """A template as it was set at one time."""

    name: str
    number: int = Field(description="0: it comes with the product")
    system: str
    user: str
    note: str
    created_at: dt.datetime
    key_id: str | None


class MessageView(Reply):
    """A message to a model."""

    role: Literal["system", "user", "assistant"]
    text: str


class PreviewView(Reply):
    """What a model would be asked; none was."""

    policy: PolicyView
    label: str | None = Field(description="the versions that hold, as `workspace@3, handbook@draft`")
    template: str
    refusal: NoticeView | None = Field(description="why the question would not be asked")
    notices: list[NoticeView]
    messages: list[MessageView]
    warnings: list[str]


class Listing(Reply):
    """A page of a list; `next` is the next `after`."""

    has_more: bool
    next: str | None


class CollectionList(Listing):
    """Collections."""

    data: list[CollectionView]


class DocumentList(Listing):
    """Documents."""

    data: list[DocumentView]


class VersionList(Listing):
    """Versions, newest first."""

    data: list[VersionView]


class ChunkList(Listing):
    """Chunks, in the order of the text."""

    data: list[ChunkView]


class JobList(Listing):
    """Jobs, newest first."""

    data: list[JobView]


class ItemList(Listing):
    """Items of a job, in order."""

    data: list[ItemView]


class KeyList(Listing):
    """Keys."""

    data: list[KeyView]


class ConversationList(Listing):
    """Conversations."""

    data: list[ConversationView]


class AnswerList(Listing):
    """Answers."""

    data: list[AnswerView]


class PolicyVersionList(Listing):
    """Versions of a policy, newest first."""

    data: list[PolicyVersionView]


class TemplateVersionList(Listing):
    """Versions of a template, newest first; or the templates in force."""

    data: list[TemplateVersionView]


class WorkspaceList(Listing):
    """Workspaces."""

    data: list[WorkspaceView]


class PriceView(Reply):
    """US dollars for a million tokens."""

    input: float
    output: float
    cached_input: float | None = Field(description="null: as input")


class EndpointView(Reply):
    """How an endpoint of a model is doing."""

    url: str | None = Field(description="for who runs the service")
    breaker: Literal["closed", "open", "half_open"]
    in_flight: int
    calls: int
    failures: int
    last_error: str | None = Field(description="for who runs the service")


class ModelView(Reply):
    """A model that writes answers, and how it is doing."""

    name: str
    provider: str
    model: str | None = Field(description="the provider's id of it")
    tier: Literal["small", "standard", "strong"]
    domains: list[str]
    context_tokens: int | None
    output_tokens: int | None
    price: PriceView
    structured: bool = Field(description="whether it can be held to a JSON schema")
    local: bool = Field(description="whether it computes in this process")
    available: bool
    why_not: str | None
    in_flight: int
    waiting: int
    endpoints: list[EndpointView]


class ModelList(Listing):
    """Every model of the file of models, and the built-in one; what embeds and what reranks, by name."""

    data: list[ModelView]
    embedder: str
    reranker: str | None


class ReloadedView(Reply):
    """Names of models: what reading the file anew has changed."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    unchanged: list[str]


class CheckUsage(Reply):
    """What a check took."""

    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


class CheckError(Reply):
    """Why a model did not answer."""

    code: str
    message: str


class ModelCheckView(Reply):
    """How a model did with a small question."""

    name: str
    ok: bool
    first_token_ms: float | None
    total_ms: float
    text: str = Field(description="what it said")
    usage: CheckUsage | None = Field(description="null where the provider did not say")
    error: CheckError | None


class Health(Reply):
    """The state of the service and, where asked, of its parts: null where a part is well."""

    status: str
    parts: dict[str, str | None] | None = None


REQUESTS: tuple[type[Request], ...] = (
    CollectionBody,
    CollectionChange,
    ReindexBody,
    CompareBody,
    BulkDeleteBody,
    BulkChangeBody,
    DocumentBody,
    PutBody,
    BatchLine,
    DocumentChange,
    SearchBody,
    AskBody,
    AskMessage,
    ReplayBody,
    KeyBody,
    ConversationBody,
    ConversationChange,
    PolicyBody,
    TemplateBody,
    RollbackBody,
    PreviewBody,
    WorkspaceBody,
)
