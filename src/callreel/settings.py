"""Settings: flag over environment over `callreel.toml` over default; each secret also as `…_FILE`."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from callreel.errors import Misconfigured
from callreel.model.destination import Network

PREFIX = "CALLREEL_"
TOML = "callreel.toml"
SECRETS = ("database_url", "master_key", "smtp_url")
AWS_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class Settings(BaseSettings):
    """The settings of contract section 3. Times in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, toml_file=TOML, extra="forbid", frozen=True)

    database_url: SecretStr | None = Field(None, description="PostgreSQL of yours; default: embedded")
    data_dir: Path = Field(Path("callreel-data"), description="database, spool, service storage, master key")
    public_url: str | None = Field(None, description="what media URLs and callbacks are built from")
    spool_url: str | None = Field(None, description="where recordings wait; default DATA_DIR/spool")
    storage_url: str | None = Field(None, description="service storage; default DATA_DIR/storage")
    master_key: SecretStr | None = Field(None, description="32 bytes, Base64 or hex; default: generated in DATA_DIR")
    retry_window_seconds: float = Field(7200, gt=0, allow_inf_nan=False)
    retry_base_seconds: float = Field(1, gt=0, allow_inf_nan=False)
    retry_cap_seconds: float = Field(300, gt=0, allow_inf_nan=False)
    retention_days: int = Field(40, ge=1)
    video_retention_days: int = Field(30, ge=1)
    delivery_concurrency: int = Field(32, ge=1, le=512)
    account_concurrency: int = Field(100, ge=1, description="requests of one account at once; above: 20429")
    accepted_grace_seconds: float = Field(900, ge=0, allow_inf_nan=False)
    allowed_private_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="comma-separated CIDRs that callreel may call although private"
    )
    smtp_url: SecretStr | None = None
    instance_role: bool = Field(False, description="may ask this machine's metadata service for its AWS role")
    sts_url: str | None = Field(None, description="where roles are taken on; default: Amazon's, in the bucket's region")
    max_upload_bytes: int = Field(2 << 30, ge=1)
    price_source_free_minutes: int = Field(10_000, ge=0, description="minutes the source stores for nothing")
    price_source_minute_month: float = Field(0.0005, ge=0, description="dollars a minute and month at the source")
    price_bucket_gb_month: float = Field(0.023, ge=0, description="dollars a GB and month in the bucket")
    price_glacier_ir_gb_month: float = Field(0.004, ge=0, description="the same in Glacier Instant Retrieval")
    price_deep_archive_gb_month: float = Field(0.00099, ge=0, description="the same in Glacier Deep Archive")
    rendition_cache_bytes: int = Field(1 << 30, ge=0, description="how much of the disk encoded MP3s may keep")

    @field_validator("allowed_private_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: Any) -> Any:
        words = value.split(",") if isinstance(value, str) else list(value or ())
        networks = tuple(word.strip() for word in words if word.strip())
        for network in networks:
            ipaddress.ip_network(network)
        return networks

    @field_validator("public_url", mode="after")
    @classmethod
    def _without_slash(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/") if value else value

    @field_validator("sts_url", mode="after")
    @classmethod
    def _is_a_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with https:// (http:// only within ALLOWED_PRIVATE_NETWORKS)")
        return value

    @property
    def networks(self) -> tuple[Network, ...]:
        return tuple(ipaddress.ip_network(network) for network in self.allowed_private_networks)

    @property
    def spool_dir(self) -> Path:
        """The spool's directory. Raises `Misconfigured` for a URL that is no directory."""
        return _directory("SPOOL_URL", self.spool_url) or self.data_dir / "spool"

    @property
    def storage_dir(self) -> Path:
        """The service storage's directory. Raises `Misconfigured` for a URL that is no directory."""
        return _directory("STORAGE_URL", self.storage_url) or self.data_dir / "storage"

    def secret_values(self) -> Iterator[str]:
        """What must be in no log: the secrets among the settings, passwords inside them, and the machine's AWS keys."""
        for name in SECRETS:
            secret = getattr(self, name)
            if secret is not None:
                yield from re.split(r"[\s,]+", secret.get_secret_value())
                if (password := urlsplit(secret.get_secret_value()).password) is not None:
                    yield from {password, unquote(password)}
        yield from (os.environ[name] for name in AWS_SECRETS if name in os.environ)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


@dataclass(frozen=True, slots=True)
class Origin:
    """One effective setting: its name, its value (secrets masked), and where it came from."""

    name: str
    value: str
    origin: str


def load_settings(**flags: Any) -> Settings:
    """The effective settings; `flags` that are None were not given. Raises `Misconfigured` with the reason."""
    given = {name: value for name, value in flags.items() if value is not None}
    for name in SECRETS:
        path = os.environ.get(f"{PREFIX}{name.upper()}_FILE")
        if path and name not in given and f"{PREFIX}{name.upper()}" not in os.environ:
            given[name] = _read_secret(name, Path(path))
    try:
        return Settings(**given)
    except ValidationError as why:
        raise Misconfigured(_first_reason(why)) from None
    except (OSError, ValueError) as why:
        raise Misconfigured(f"{TOML} cannot be read: {why}") from why


def origins(**flags: Any) -> list[Origin]:
    """Every setting with its value and origin, secrets masked. Raises `Misconfigured`."""
    settings = load_settings(**flags)
    toml = TomlConfigSettingsSource(Settings)()
    found = []
    for name in Settings.model_fields:
        value = getattr(settings, name)
        if flags.get(name) is not None:
            origin = "flag"
        elif f"{PREFIX}{name.upper()}" in os.environ:
            origin = "environment"
        elif name in SECRETS and f"{PREFIX}{name.upper()}_FILE" in os.environ:
            origin = "file"
        elif name in toml:
            origin = TOML
        else:
            origin = "default"
        found.append(Origin(f"{PREFIX}{name.upper()}", _shown(value), origin))
    return found


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "••••••••"
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)


def _directory(name: str, url: str | None) -> Path | None:
    if url is None:
        return None
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    if "://" in url:
        raise Misconfigured(f"{PREFIX}{name} must be a directory or file://…; '{url.split('://')[0]}' is not supported")
    return Path(url)


def _read_secret(name: str, path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as why:
        raise Misconfigured(f"{PREFIX}{name.upper()}_FILE={path} cannot be read: {why.strerror}") from why


def _first_reason(why: ValidationError) -> str:
    first = why.errors(include_input=False, include_url=False)[0]
    name = "_".join(str(part) for part in first["loc"]).upper()
    return f"{PREFIX}{name}: {first['msg']}"
