"""What an operator sets, by environment variables COUNTERPOISE_*. The defaults are one machine without anything else."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipelines.spec import Device, Machine, Precision


def listed(value: Any) -> Any:
    """A list that is written as one: with commas, /data/a,/data/b, or as JSON, for names with commas in them."""
    if not isinstance(value, str):
        return value
    if not value.startswith("["):
        return [name.strip() for name in value.split(",") if name.strip()]
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON list ({error}); write names with commas between them") from None


Names = Annotated[list[str], NoDecode, BeforeValidator(listed)]
Folders = Annotated[list[Path], NoDecode, BeforeValidator(listed)]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="COUNTERPOISE_", frozen=True)

    state_dir: Path = Field(Path(".counterpoise"), description="Folder of whatever has no address of its own.")
    database_url: str = Field(
        "", description="sqlite:///FILE or postgresql+psycopg://...; empty: a file in the state folder."
    )
    broker_url: str = Field(
        "", description="redis://...; empty: one on this machine, or the embedded Valkey of `counterpoise up`."
    )
    store_url: str = Field("", description="Folder or s3://bucket/prefix of all versions; empty: in the state folder.")
    source_roots: Names = Field(
        [], description="Folders and s3://bucket/prefix that sources may be read from, with commas between."
    )
    model_roots: Folders = Field([], description="Folders that checkpoints may be loaded from, with commas between.")
    hub_organisations: Names = Field(
        [], description="Hugging Face organisations whose checkpoints and datasets may be used, likewise."
    )
    device: Device = Field("auto", description=Machine.model_fields["device"].description)
    precision: Precision = Field("auto", description=Machine.model_fields["precision"].description)
    capacity: int = Field(32, ge=1, le=4096, description=Machine.model_fields["capacity"].description)
    offload: bool = Field(False, description=Machine.model_fields["offload"].description)
    compile: bool = Field(False, description=Machine.model_fields["compile"].description)
    cache_dir: str = Field("", description=Machine.model_fields["cache_dir"].description)
    cache_bytes: int = Field(32 * 2**30, gt=0, description=Machine.model_fields["cache_bytes"].description)
    language_model_url: str = Field("", description=Machine.model_fields["language_model_url"].description)
    language_model_name: str = Field("", description=Machine.model_fields["language_model_name"].description)
    language_model_key: str = Field("", description=Machine.model_fields["language_model_key"].description)
    lease_seconds: float = Field(
        60.0, gt=0, description="After so long without a sign of life a worker's unit is another's."
    )
    unit_seconds: float = Field(21600.0, gt=0, description="A unit that takes longer is given up, and its version fails.")
    sweep_seconds: float = Field(5.0, gt=0, description="How often the scheduler looks for work that nobody was told of.")

    janitor_seconds: float = Field(
        3600.0, ge=0, description="How often the scheduler removes what nobody needs any more; 0: never."
    )
    orphan_hours: float = Field(
        24.0, ge=1, description="Hours for which a file that nothing refers to stays: something may just begin to."
    )
    keep_events_days: float = Field(
        90.0,
        ge=0,
        description="Days for which events of versions that have ended stay, and ended uploads; 0: for ever.",
    )
    keep_deliveries_days: float = Field(
        30.0, ge=0, description="Days for which deliveries of webhooks stay that were made or abandoned; 0: for ever."
    )
    keep_idempotency_days: float = Field(7.0, ge=0, description="Days for which idempotency keys count; 0: for ever.")
    keep_artifacts_days: float = Field(
        90.0, ge=0, description="Days without use after which what was learned goes that no version names; 0: for ever."
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged: this and worse.")
    metrics_port: int = Field(
        0, ge=0, lt=2**16, description="Port of API, worker and scheduler for /metrics and /healthz; 0: none."
    )

    auth: bool = Field(True, description="Whether an API key is asked for. Without, the API listens on loopback alone.")
    private_webhooks: bool = Field(
        False, description="Whether webhooks may go to private, loopback and link-local addresses."
    )
    max_body_bytes: int = Field(2**20, gt=0, description="Largest body of a request, but for uploads.")
    max_previews: int = Field(4, gt=0, description="Most previews of a tenant that wait or are being made.")
    max_upload_bytes: int = Field(
        2 * 2**30, gt=0, description="Largest upload of a source, packed; unpacked four times that."
    )
    ingest_memory: int = Field(
        2**30, ge=2**28, description="Bytes of memory in which a worker must be able to read an upload."
    )
    max_images: int = Field(10_000_000, gt=0, description="Most images of one version.")
    max_shards: int = Field(100_000, gt=0, description="Most shards of one version.")
    max_upload_images: int = Field(100_000, gt=0, description="Most images of an uploaded source.")
    max_versions_in_flight: int = Field(1000, ge=0, description="Most versions of a tenant that have not ended; 0: any.")
    max_running_units: int = Field(0, ge=0, description="Most units of a tenant that are worked on at a time; 0: any.")
    max_bytes_stored: int = Field(
        0, ge=0, description="Bytes of a tenant's published versions above which no more is taken in; 0: any."
    )
    max_streams: int = Field(
        100, ge=0, description="Most streams of events and exports that a tenant has open, by API process; 0: any."
    )
    max_webhooks: int = Field(100, ge=0, description="Most webhooks of a tenant; 0: any.")
    max_requests_per_second: float = Field(1000.0, ge=0, description="Most requests of a key, by API process; 0: any.")

    price_cpu_hour: float = Field(0.0, ge=0, description="What an hour of a CPU worker costs; 0: not known.")
    price_gpu_hour: float = Field(0.0, ge=0, description="What an hour of a GPU worker costs; 0: not known.")
    currency: str = Field("", max_length=10, description="Of these prices, as it is written: EUR.")

    @property
    def machine(self) -> Machine:
        """What a worker computes on."""
        return Machine(**{name: getattr(self, name) for name in Machine.model_fields})

    @property
    def endpoint(self) -> dict[str, str]:
        """The fields of a machine that say which language model may be asked, and how."""
        return {name: getattr(self, name) for name in Machine.model_fields if name.startswith("language_model_")}

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir.resolve() / 'state.db'}"

    @property
    def broker(self) -> str:
        return self.broker_url or "redis://127.0.0.1:6379"

    @property
    def store(self) -> str:
        return self.store_url or str(self.state_dir.resolve() / "store")
