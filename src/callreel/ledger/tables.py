"""The tables. Every list index ends in `(date_created, sid)`, so that a deep page costs what the first one does."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _moment(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""What the installation as a whole keeps, sealed: the pepper of its token digests."""

accounts = Table(
    "accounts",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("owner_sid", Text, nullable=False),
    Column("friendly_name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("token_digest", LargeBinary, nullable=False),
    Column("token_sealed", LargeBinary, nullable=False),
    _moment("date_created"),
    _moment("date_updated"),
    Index(None, "owner_sid", "date_created", "sid"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("friendly_name", Text, nullable=False),
    Column("secret_digest", LargeBinary, nullable=False),
    _moment("date_created"),
    _moment("date_updated"),
    Index(None, "account_sid", "date_created", "sid"),
)

account_keys = Table(
    "account_keys",
    metadata,
    Column("account_sid", Text, ForeignKey("accounts.sid"), primary_key=True),
    Column("key_sealed", LargeBinary, nullable=False),
    _moment("date_created"),
)
"""The key under which an account's recordings keep theirs. Without it none of its media at rest can be opened."""

credentials = Table(
    "credentials",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("friendly_name", Text, nullable=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("has_aws_shape", Boolean, nullable=False),
    _moment("date_created"),
    _moment("date_updated"),
    Index(None, "account_sid", "kind", "date_created", "sid"),
)

users = Table(
    "users",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("email", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    _moment("date_created"),
    _moment("date_updated"),
    _moment("last_sign_in", nullable=True),
    UniqueConstraint("email"),
    Index(None, "account_sid", "date_created", "sid"),
)
"""Who may sign in to the Console. An address is one person, whatever the account."""

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_sid", Text, ForeignKey("users.sid", ondelete="CASCADE"), nullable=False),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    _moment("date_created"),
    _moment("seen_at"),
    Column("ended", Boolean, nullable=False, server_default=text("false")),
    Column("kept_form", LargeBinary),
    Index(None, "user_sid"),
    Index(None, "seen_at"),
)
"""Signed-in browsers, under a digest of what the browser holds. `kept_form` is sealed and read once."""

saved_views = Table(
    "saved_views",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("user_sid", Text, ForeignKey("users.sid", ondelete="CASCADE"), nullable=False),
    Column("page", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("query", Text, nullable=False),
    _moment("date_created"),
    UniqueConstraint("user_sid", "page", "name"),
)
"""Filters of a list that a person keeps under a name."""

settings_versions = Table(
    "settings_versions",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("settings", JSONB, nullable=False),
    _moment("date_created"),
    Index(None, "account_sid", "kind", "id"),
)
"""Append-only: the newest version holds for new recordings, each recording names the one it was made under."""

deletion_settings = Table(
    "deletion_settings",
    metadata,
    Column("account_sid", Text, ForeignKey("accounts.sid"), primary_key=True),
    Column("delete_source_after_migration", Boolean, nullable=False),
    Column("delete_objects_with_call_logs", Boolean, nullable=False),
    _moment("date_updated"),
)
"""A row for each account that chose; the others have the defaults."""

campaigns = Table(
    "campaigns",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("friendly_name", Text, nullable=False),
    Column("status", Text, nullable=False),
    _moment("date_created"),
    _moment("date_updated"),
    Index(None, "account_sid", "date_created", "sid"),
    # A name stands for one campaign at a time; while that one is deleted it may be used again.
    Index(
        "uq_campaigns_live_name",
        "account_sid",
        "friendly_name",
        unique=True,
        postgresql_where=text("status = 'active'"),
    ),
)

calls = Table(
    "calls",
    metadata,
    Column("account_sid", Text, ForeignKey("accounts.sid"), primary_key=True),
    Column("sid", Text, primary_key=True),
    Column("parties_sealed", LargeBinary),
    Column("from_mark", LargeBinary),
    Column("to_mark", LargeBinary),
    Column("direction", Text),
    Column("campaign_sid", Text),
    Column("status", Text, nullable=False),
    _moment("start_time"),
    _moment("end_time", nullable=True),
    Column("duration_ms", BigInteger),
    Column("source_sid", Text),
    Column("source_account_sid", Text),
    _moment("ask_at", nullable=True),
    Column("asked", Integer),
    _moment("date_created"),
    _moment("date_updated"),
    Index(None, "account_sid", "date_created", "sid"),
    Index("ix_calls_ask", "source_sid", "ask_at", postgresql_where=text("ask_at IS NOT NULL")),
    Index(None, "account_sid", "from_mark", "date_created", "sid", postgresql_where=text("from_mark IS NOT NULL")),
    Index(None, "account_sid", "to_mark", "date_created", "sid", postgresql_where=text("to_mark IS NOT NULL")),
    Index(
        "ix_calls_campaign", "campaign_sid", "date_created", "sid", postgresql_where=text("campaign_sid IS NOT NULL")
    ),
)

conferences = Table(
    "conferences",
    metadata,
    Column("account_sid", Text, ForeignKey("accounts.sid"), primary_key=True),
    Column("sid", Text, primary_key=True),
    Column("name_sealed", LargeBinary),
    Column("name_mark", LargeBinary),
    Column("status", Text, nullable=False),
    _moment("date_created"),
    _moment("date_updated"),
    Index(None, "account_sid", "date_created", "sid"),
)

rooms = Table(
    "rooms",
    metadata,
    Column("account_sid", Text, ForeignKey("accounts.sid"), primary_key=True),
    Column("sid", Text, primary_key=True),
    Column("unique_name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status_callback", Text),
    Column("status_callback_method", Text, nullable=False),
    Column("options", JSONB, nullable=False),
    _moment("date_created"),
    _moment("date_updated"),
    _moment("end_time", nullable=True),
    Column("duration_s", BigInteger),
    Index(None, "account_sid", "date_created", "sid"),
    Index(None, "account_sid", "status", "date_created", "sid"),
    Index(None, "account_sid", "unique_name", "date_created", "sid"),
    # A name stands for one room at a time; once that is over it may be used again.
    Index(
        "uq_rooms_live_name", "account_sid", "unique_name", unique=True, postgresql_where=text("status = 'in-progress'")
    ),
)

retention_classes = Table(
    "retention_classes",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("friendly_name", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", Text),
    Column("source", Text),
    Column("campaign", Text),
    Column("keep_days", Integer),
    Column("lock_mode", Text),
    Column("lock_days", Integer),
    _moment("date_created"),
    _moment("date_updated"),
    Index(None, "account_sid", "date_created", "sid"),
)
"""Which recordings an account keeps how long; read when a recording is put and when the clockwork looks."""

recordings = Table(
    "recordings",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    # True while work or a person is still needed. Kept beside `state` so that the moves in between stay
    # heap-only updates: an index that names `state` would be rewritten by every one of them.
    Column("unfinished", Boolean, nullable=False),
    Column("host_id", Text, nullable=False),
    Column("call_sid", Text),
    Column("conference_sid", Text),
    Column("source", Text, nullable=False),
    Column("track", Text),
    Column("channels", Integer, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    _moment("start_time"),
    _moment("date_created"),
    _moment("date_updated"),
    Column("media_size_bytes", BigInteger, nullable=False),
    Column("media_sha256", Text, nullable=False),
    Column("media_md5", Text, nullable=False),
    # The key of the media at rest, under the account's key; gone once nothing of the media may be opened again.
    Column("sealed_at_rest", Boolean, nullable=False, server_default=text("false")),
    Column("media_key_wrapped", LargeBinary),
    Column("settings_id", BigInteger, ForeignKey("settings_versions.id"), nullable=True),
    Column("callback_url", Text),
    Column("callback_method", Text),
    Column("callback_events", ARRAY(Text)),
    Column("error_code", Integer),
    Column("blob_size_bytes", BigInteger),
    Column("blob_sha256", Text),
    Column("blob_md5", Text),
    Column("encryption_details", JSONB),
    Column("is_external", Boolean, nullable=False),
    Column("bucket", Text),
    Column("object_key", Text),
    Column("object_url", Text),
    Column("upload_id", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("retry_spent_s", REAL, nullable=False, server_default=text("0")),
    Column("retry_wait_s", REAL, nullable=False, server_default=text("0")),
    _moment("next_attempt_at", nullable=True),
    _moment("refused_at", nullable=True),
    Column("last_error_code", Text),
    Column("last_error", Text),
    Column("last_request_id", Text),
    Column("verify_method", Text),
    _moment("verified_at", nullable=True),
    Column("etag", Text),
    Column("version_id", Text),
    _moment("deleted_at", nullable=True),
    _moment("purge_after", nullable=True),
    # Of a moved recording: where it came from, under which name, and what it had cost there.
    Column("source_sid", Text),
    Column("source_recording_sid", Text),
    Column("price", Text),
    Column("price_unit", Text),
    Column("object_fate", Text),
    Column("legal_hold_reason", Text),
    Column("legal_hold_by", Text),
    _moment("legal_hold_at", nullable=True),
    Index(None, "account_sid", "date_created", "sid"),
    Index(None, "account_sid", "call_sid", "date_created", "sid", postgresql_where=text("call_sid IS NOT NULL")),
    Index(
        None,
        "account_sid",
        "conference_sid",
        "date_created",
        "sid",
        postgresql_where=text("conference_sid IS NOT NULL"),
    ),
    Index("ix_recordings_unfinished", "account_sid", "date_created", "sid", postgresql_where=text("unfinished")),
    Index(
        "ix_recordings_legal_hold",
        "account_sid",
        "date_created",
        "sid",
        postgresql_where=text("legal_hold_at IS NOT NULL"),
    ),
    Index(
        "ix_recordings_object_remains",
        "account_sid",
        "date_created",
        "sid",
        postgresql_where=text("object_fate = 'remains'"),
    ),
    # Usage is summed up from this index alone. None of its columns changes on a recording's way to its bucket.
    Index(
        "ix_recordings_usage",
        "account_sid",
        "date_created",
        postgresql_include=["kind", "settings_id", "duration_ms", "media_size_bytes"],
        postgresql_where=text("NOT unfinished AND deleted_at IS NULL"),
    ),
    Index("ix_recordings_purge", "purge_after", postgresql_where=text("purge_after IS NOT NULL")),
    CheckConstraint("fence >= 1", name="fence"),
    # Room on each page for the moves of its rows, so that they stay heap-only.
    postgresql_with={"fillfactor": "50"},
)

video_tracks = Table(
    "video_tracks",
    metadata,
    Column("recording_sid", Text, ForeignKey("recordings.sid", ondelete="CASCADE"), primary_key=True),
    Column("account_sid", Text, nullable=False),
    Column("room_sid", Text, nullable=False),
    Column("participant_sid", Text, nullable=False),
    Column("participant_identity", Text, nullable=False),
    Column("source_sid", Text, nullable=False),
    Column("track_name", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("codec", Text, nullable=False),
    Column("container", Text, nullable=False),
    Column("offset_ms", BigInteger, nullable=False),
    Column("status_callback", Text),
    Column("status_callback_method", Text),
    _moment("date_created"),
    ForeignKeyConstraint(["account_sid", "room_sid"], ["rooms.account_sid", "rooms.sid"]),
    Index(None, "account_sid", "date_created", "recording_sid"),
    Index("ix_video_tracks_room", "account_sid", "room_sid", "date_created", "recording_sid"),
    Index("ix_video_tracks_participant", "account_sid", "participant_sid", "date_created", "recording_sid"),
    Index("ix_video_tracks_source", "account_sid", "source_sid", "date_created", "recording_sid"),
)
"""What a recording of kind `video` has beside its row in `recordings`; it goes when that row is purged."""

moves = Table(
    "moves",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("recording_sid", Text, nullable=False),
    Column("account_sid", Text, nullable=False),
    Column("from_state", Text),
    Column("to_state", Text, nullable=False),
    _moment("at"),
    Column("worker", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("reason", Text),
    Index(None, "recording_sid", "id"),
)
"""The ledger proper: every move a recording made, written in the transaction that made it. Append-only."""

peaks = Table(
    "peaks",
    metadata,
    Column("recording_sid", Text, ForeignKey("recordings.sid", ondelete="CASCADE"), primary_key=True),
    Column("peaks_sealed", LargeBinary, nullable=False),
    _moment("date_created"),
)
"""What a recording's waveform is drawn from. Derived from what was said, so it lies sealed and goes with the row."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, nullable=False),
    _moment("purged_at"),
    Column("reason", Text, nullable=False),
    _moment("deleted_at", nullable=True),
    _moment("purge_after", nullable=True),
)
"""What remains of a purged recording, so that its SID is never used again, and that it was kept long enough is seen."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("host_id", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    _moment("date_created"),
    _moment("date_removed", nullable=True),
    Column("reason", Text),
)
"""Files nobody can explain, by the spool they lie in. A row stays when its file was taken away, with the reason."""

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("host_id", Text, primary_key=True),
    Column("boot_id", Text, nullable=False),
    _moment("wall"),
    Column("monotonic_s", Double, nullable=False),
    _moment("distrusted_since", nullable=True),
    Column("distrusted_why", Text),
    Column("sane_s", Double, nullable=False, server_default=text("0")),
)
"""What each worker's two clocks said last. While they are distrusted nothing is destroyed because its time has come."""

sources = Table(
    "sources",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("friendly_name", Text, nullable=False),
    Column("twilio_account_sid", Text, nullable=False),
    Column("api_key_sid", Text),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("base_url", Text, nullable=False),
    Column("poll_seconds", Integer, nullable=False),
    Column("include_subaccounts", Boolean, nullable=False),
    Column("record_verb_is_voicemail", Boolean, nullable=False),
    Column("include_calls", Boolean, nullable=False),
    _moment("polled_to", nullable=True),
    _moment("next_poll_at", nullable=True),
    Column("last_error", Text),
    _moment("date_created"),
    _moment("date_updated"),
    # Two sources of one account would move its recordings twice.
    UniqueConstraint("account_sid", "twilio_account_sid", "base_url"),
    Index(None, "account_sid", "date_created", "sid"),
    Index("ix_sources_poll", "next_poll_at", postgresql_where=text("next_poll_at IS NOT NULL")),
)
"""Twilio accounts that recordings are moved out of."""

migrations = Table(
    "migrations",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("source_sid", Text, nullable=False),
    Column("host_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    _moment("created_after", nullable=True),
    _moment("created_before", nullable=True),
    # Where the source's list goes on; written in the transaction that writes the page before it.
    Column("cursor", Text),
    Column("passes", Integer, nullable=False),
    Column("found_in_pass", BigInteger, nullable=False),
    Column("is_listed", Boolean, nullable=False),
    *(
        Column(name, BigInteger, nullable=False)
        for name in ("total", "moved", "kept", "skipped", "failed", "deleted_at_source", "delete_failed", "bytes")
    ),
    Column("rate", REAL, nullable=False),
    _moment("rate_at", nullable=True),
    Column("reason", Text),
    Column("remedy", Text),
    _moment("date_created"),
    _moment("date_updated"),
    _moment("date_ended", nullable=True),
    Index(None, "account_sid", "date_created", "sid"),
    Index("uq_migrations_live", "source_sid", unique=True, postgresql_where=text("status IN ('running', 'paused')")),
)

migration_items = Table(
    "migration_items",
    metadata,
    Column("recording_sid", Text, primary_key=True),
    Column("source_sid", Text, nullable=False),
    Column("source_recording_sid", Text, nullable=False),
    Column("account_sid", Text, nullable=False),
    Column("migration_sid", Text),
    Column("host_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("origin", JSONB, nullable=False),
    Column("kept_source", Text, nullable=False),
    Column("source_link", Text),
    Column("media_size_bytes", BigInteger),
    Column("media_sha256", Text),
    Column("attempts", Integer, nullable=False),
    Column("delete_attempts", Integer, nullable=False),
    _moment("next_attempt_at", nullable=True),
    Column("reason", Text),
    Column("detail", Text),
    Column("remedy", Text),
    _moment("fetched_at", nullable=True),
    _moment("intent_at", nullable=True),
    _moment("delete_sent_at", nullable=True),
    _moment("delete_confirmed_at", nullable=True),
    _moment("date_created"),
    _moment("date_updated"),
    UniqueConstraint("source_sid", "source_recording_sid"),
    Index(
        "ix_migration_items_due",
        "source_sid",
        "next_attempt_at",
        "recording_sid",
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index("ix_migration_items_page", "migration_sid", "date_created", "recording_sid"),
)
"""One row for each recording of a source, whoever found it first: a migration, the poller or a webhook."""

receipts = Table(
    "receipts",
    metadata,
    Column("recording_sid", Text, primary_key=True),
    Column("account_sid", Text, nullable=False),
    Column("source_sid", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("signature", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    _moment("date_created"),
)
"""What was moved, with its proof, signed. Outlives the recording."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_sid", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", Text, nullable=False),
    Column("resource_sid", Text, nullable=False),
    _moment("date_created"),
    Index(None, "date_created"),
)

deletions = Table(
    "deletions",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("account_sid", Text, ForeignKey("accounts.sid"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("campaign_sid", Text),
    Column("status", Text, nullable=False),
    Column("removes_objects", Boolean, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("deleted", Integer, nullable=False, server_default=text("0")),
    Column("failed", Integer, nullable=False, server_default=text("0")),
    Column("asked_by", Text),
    Column("receipt_email", Text),
    Column("receipt_state", Text),
    Column("receipt_attempts", Integer, nullable=False, server_default=text("0")),
    Column("receipt_error", Text),
    _moment("receipt_at", nullable=True),
    _moment("date_created"),
    _moment("date_updated"),
    _moment("date_completed", nullable=True),
    Index(None, "account_sid", "date_created", "sid"),
    Index("ix_deletions_running", "sid", postgresql_where=text("status = 'running'")),
    Index("ix_deletions_drafts", "date_created", postgresql_where=text("status = 'dry-run'")),
    Index("ix_deletions_receipts", "receipt_at", postgresql_where=text("receipt_state = 'due'")),
)
"""Deletions of many things at once: what was asked for, and how far it has come."""

deletion_items = Table(
    "deletion_items",
    metadata,
    Column("deletion_sid", Text, ForeignKey("deletions.sid", ondelete="CASCADE"), primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("subject_sid", Text, nullable=False),
    Column("outcome", Text),
    Column("reason", Text),
    Index("ix_deletion_items_due", "deletion_sid", "position", postgresql_where=text("outcome IS NULL")),
    Index("ix_deletion_items_failed", "deletion_sid", "position", postgresql_where=text("outcome = 'failed'")),
)
"""What was found when the deletion was asked for: that, and nothing that came later, is deleted."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("position", BigInteger, Identity(), nullable=False),
    Column("account_sid", Text, nullable=False),
    Column("recording_sid", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("parameters", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'due'")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("retry_spent_s", REAL, nullable=False, server_default=text("0")),
    _moment("next_attempt_at", nullable=True),
    Column("last_error", Text),
    _moment("date_created"),
    _moment("date_sent", nullable=True),
    UniqueConstraint("recording_sid", "event"),
    Index("ix_outbox_due", "recording_sid", "position", postgresql_where=text("state = 'due'")),
)
"""Events owed to the customer. `id` is the idempotency token of every try."""

alerts = Table(
    "alerts",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("account_sid", Text, nullable=False),
    Column("recording_sid", Text),
    Column("code", Integer, nullable=False),
    Column("level", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index(None, "account_sid", "id"),
    Index(None, "recording_sid", "id"),
)
"""What Twilio would show in its Debugger: warnings and errors with Twilio's codes."""

audit = Table(
    "audit",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("sid", Text, nullable=False),
    Column("account_sid", Text),
    _moment("date_created"),
    Column("actor", Text, nullable=False),
    Column("address", Text),
    Column("request_id", Text),
    Column("action", Text, nullable=False),
    Column("subject", Text),
    # The JSON text that was hashed, byte for byte: JSONB would word it anew.
    Column("details", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Index(None, "chain", "date_created", "sid"),
    Index(None, "chain", "action", "date_created", "sid"),
    Index(None, "chain", "subject", "date_created", "sid", postgresql_where=text("subject IS NOT NULL")),
)
"""Who did what. Append-only, which a trigger of the table holds to; no row of an account ever goes."""

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    postgresql_with={"fillfactor": "50"},
)
"""Where each chain of the audit ends. Locked while rows are added to it."""
