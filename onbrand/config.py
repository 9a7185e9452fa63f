"""Settings: the only module that reads the environment. `cli` builds them once and passes them down.

`docs/settings.md` documents every field; a test compares the two.
"""

from __future__ import annotations

import base64
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, unquote, urlsplit
from uuid import UUID

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from onbrand import postgres_address
from onbrand.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parent.parent
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
LOCAL_TENANT_ID = UUID("11111111-1111-4111-8111-111111111111")
LOCAL_SPA_CLIENT_ID = UUID("22222222-2222-4222-8222-222222222222")
LOCAL_API_CLIENT_ID = UUID("33333333-3333-4333-8333-333333333333")
LOCAL_GROUP_ID = UUID("44444444-4444-4444-8444-444444444444")
LOCAL_REVIEWER_ROLE = "Onbrand.Review"
# For errors where pydantic's own text speaks of parsing, or quotes a part of the value.
_WORDS = {
    "bool_parsing": "must be true or false",
    "float_parsing": "must be a number",
    "int_parsing": "must be a whole number",
    "uuid_parsing": f"must be a UUID, such as {LOCAL_TENANT_ID}",
}
MICROSOFT_METADATA_URL = "https://login.microsoftonline.com/{tenant}/v2.0/.well-known/openid-configuration"
# The endpoint of a virtual machine. azure-identity reads the same variable for another host.
_IMDS_HOST, _IMDS_HOST_VARIABLE = "http://169.254.169.254", "AZURE_POD_IDENTITY_AUTHORITY_HOST"
_AZURE_SETTINGS = tuple(f"storage_azure_{name}" for name in ("endpoint", "account", "key", "client_id"))
# https://learn.microsoft.com/azure/storage/common/storage-account-overview, and for containers
# https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?=.{3,63}\Z)[a-z0-9]+(-[a-z0-9]+)*")
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|\Z))[A-Za-z0-9._-]+){0,8}/?")


class Environment(StrEnum):
    LOCAL = "local"
    PRODUCTION = "production"


class SignIn(StrEnum):
    LOCAL = "local"
    ENTRA = "entra"


class DatabaseSignIn(StrEnum):
    PASSWORD = "password"
    ENTRA = "entra"


class ModelName(StrEnum):
    """The rows of `hidream.models`."""

    MINI = "mini"
    HIDREAM_I1_FAST = "hidream-i1-fast"
    HIDREAM_I1_DEV = "hidream-i1-dev"
    HIDREAM_I1_FULL = "hidream-i1-full"


class PrecisionChoice(StrEnum):
    """`auto`, or a row of `hidream.models.Precision`."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    INT8 = "int8"


class LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


@dataclass(frozen=True)
class Directory:
    """The identity provider as the token check needs it: Entra, or the local issuer."""

    tenant_id: UUID
    api_client_id: UUID
    spa_client_id: UUID
    group_id: UUID | None
    role: str | None
    allow_guests: bool
    metadata_url: str  # the OpenID configuration
    denied_users: frozenset[UUID] = frozenset()  # object ids; these people are refused, whatever their token says
    reviewer_role: str | None = None  # None: nobody may review


@dataclass(frozen=True)
class AzureContainer:
    """A container of Azure Blob Storage, and the credentials for it."""

    account: str
    endpoint: str  # address of the account's blob service, without a slash at its end
    name: str
    prefix: str | None  # before every key
    key: SecretStr | None  # None: use the managed identity, or in Kubernetes the workload identity
    client_id: UUID | None  # which managed identity; None: the machine's own
    is_workload: bool


@dataclass(frozen=True)
class ManagedIdentity:
    """An identity that Azure gives to this machine, and the endpoint that hands out its tokens."""

    client_id: UUID | None  # None: the machine's own
    endpoint: str
    secret: SecretStr | None  # what a container app or an app service must show there; None: a virtual machine


class Settings(BaseSettings):
    """All settings, from `ONBRAND_*` variables. Build them with `load_settings`, which turns errors into sentences."""

    model_config = SettingsConfigDict(
        env_prefix="ONBRAND_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    env: Environment = Environment.LOCAL
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    metrics_port: Annotated[int | None, Field(ge=1, le=65535)] = None
    data_dir: Path = Path(".onbrand")
    web_dir: Path = REPOSITORY / "web" / "dist"

    database_url: SecretStr | None = None
    database_auth: DatabaseSignIn = DatabaseSignIn.PASSWORD
    database_client_id: UUID | None = None
    scaler_password: SecretStr | None = None

    storage_url: str | None = None
    storage_azure_endpoint: str | None = None
    storage_azure_account: str | None = None
    storage_azure_key: SecretStr | None = None
    storage_azure_client_id: UUID | None = None

    auth: SignIn = SignIn.LOCAL
    entra_tenant_id: UUID | None = None
    entra_api_client_id: UUID | None = None
    entra_spa_client_id: UUID | None = None
    entra_group_id: UUID | None = None
    entra_role: str | None = None
    entra_reviewer_role: str | None = None
    entra_metadata_url: str | None = None
    entra_allow_guests: bool = False
    denied_users: Annotated[tuple[UUID, ...], NoDecode] = ()
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    model: ModelName = ModelName.MINI
    model_path: str | None = None
    precision: PrecisionChoice = PrecisionChoice.AUTO
    pack: Annotated[str, Field(pattern=r"^(production|previous|candidate|[0-9a-f]{64})$")] = "production"

    retention_hours: Annotated[int, Field(ge=1, le=8784)] = 720
    lease_seconds: Annotated[float, Field(ge=1, le=3600)] = 45
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    job_deadline_seconds: Annotated[float, Field(ge=1, le=86400)] = 600
    max_waiting_seconds: Annotated[float, Field(ge=1, le=604800)] = 3600
    max_queued: Annotated[int, Field(ge=1, le=10000)] = 500
    max_queued_per_user: Annotated[int, Field(ge=1, le=1000)] = 10
    max_submitted_per_minute: Annotated[int, Field(ge=1, le=10000)] = 30
    max_requests_per_second: Annotated[int, Field(ge=1, le=100000)] = 50
    shutdown_grace_seconds: Annotated[float, Field(ge=0, le=3600)] = 100

    monthly_budget_usd: Annotated[float | None, Field(ge=1, le=1_000_000, allow_inf_nan=False)] = None
    fixed_usd_per_month: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 0
    gpu_usd_per_second: Annotated[float | None, Field(ge=0.0001, le=1, allow_inf_nan=False)] = None
    gpu_start_seconds: Annotated[float, Field(ge=1, le=3600)] = 120
    warm_seconds: Annotated[float, Field(ge=0, le=3600)] = 120

    log_level: str = "INFO"
    log_format: LogFormat | None = None  # unset: text locally, json in production

    @field_validator("cors_origins", "denied_users", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("entra_role", "entra_reviewer_role")
    @classmethod
    def _named_role(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("must not be blank")
        return value

    @field_validator("scaler_password")
    @classmethod
    def _long_password(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 24:
            raise ValueError("must have 24 characters or more")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [*self._sign_in_problems(), *self._origin_problems(), *self._database_problems()]
        problems += [*self._production_problems(), *self._storage_problems(), *self._budget_problems()]
        if self.metrics_port == self.port:
            problems.append("ONBRAND_METRICS_PORT must be another port than ONBRAND_PORT")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _sign_in_problems(self) -> list[str]:
        if self.auth is SignIn.LOCAL:
            problem = "local sign-in lets anybody in, so ONBRAND_HOST must stay 127.0.0.1; use ONBRAND_AUTH=entra"
            return [] if self.host in ("127.0.0.1", "localhost") else [problem]
        needed = ("entra_tenant_id", "entra_api_client_id", "entra_spa_client_id")
        missing = [name for name in needed if getattr(self, name) is None]
        problems = [f"ONBRAND_AUTH=entra needs ONBRAND_{name.upper()}" for name in missing]
        if self.entra_group_id is None and not self.entra_role:
            problems.append("set ONBRAND_ENTRA_GROUP_ID or ONBRAND_ENTRA_ROLE: with neither nobody could get in")
        if self.entra_metadata_url is not None:
            url = _split(self.entra_metadata_url)
            loopback = self.env is not Environment.PRODUCTION and url.hostname in LOOPBACK_HOSTS
            if not url.hostname or (url.scheme != "https" and not (url.scheme == "http" and loopback)):
                problems.append("ONBRAND_ENTRA_METADATA_URL must be an https address")
        return problems

    def _production_problems(self) -> list[str]:
        if self.env is not Environment.PRODUCTION:
            return []
        problems = []
        if self.auth is SignIn.LOCAL:
            problems.append("ONBRAND_ENV=production refuses local sign-in; set ONBRAND_AUTH=entra")
        if self.database_url is None:
            problems.append("ONBRAND_ENV=production needs ONBRAND_DATABASE_URL")
        if self.storage_url is None:
            problems.append("ONBRAND_ENV=production needs ONBRAND_STORAGE_URL")
        if "model" not in self.model_fields_set:
            problems.append("ONBRAND_ENV=production needs ONBRAND_MODEL; the default, mini, is a sample")
        return problems

    def _database_problems(self) -> list[str]:
        is_entra, in_production = self.database_auth is DatabaseSignIn.ENTRA, self.env is Environment.PRODUCTION
        if self.database_client_id is not None and not is_entra:
            return ["ONBRAND_DATABASE_CLIENT_ID needs ONBRAND_DATABASE_AUTH=entra"]
        if self.database_url is None:
            return ["ONBRAND_DATABASE_AUTH=entra needs ONBRAND_DATABASE_URL"] if is_entra else []
        if not is_entra and not in_production:
            return []
        try:
            url = self.database_url.get_secret_value()
            given, there = postgres_address.given(url), postgres_address.parameters(url)
        except ValueError:
            return ["ONBRAND_DATABASE_URL is not a PostgreSQL address (postgresql://…)"]
        problems = []
        if is_entra and given.get("password"):
            problems.append("ONBRAND_DATABASE_AUTH=entra takes no password: remove it from ONBRAND_DATABASE_URL")
        if is_entra and not given.get("user"):
            problems.append("ONBRAND_DATABASE_AUTH=entra needs a user in ONBRAND_DATABASE_URL: the identity's name")
        if not postgres_address.is_verified(there) and not postgres_address.is_on_this_machine(there):
            because = "ONBRAND_DATABASE_AUTH=entra" if is_entra else "ONBRAND_ENV=production"
            problems.append(
                f"{because} needs sslmode=verify-full in ONBRAND_DATABASE_URL, unless PostgreSQL is reached by a Unix"
                " socket or a loopback address"
            )
        return problems

    def _budget_problems(self) -> list[str]:
        if self.monthly_budget_usd is None:
            return []
        problems = []
        if self.gpu_usd_per_second is None:
            problems.append("ONBRAND_MONTHLY_BUDGET_USD needs ONBRAND_GPU_USD_PER_SECOND, the price of one GPU replica")
        if self.fixed_usd_per_month >= self.monthly_budget_usd:
            problems.append(
                "ONBRAND_MONTHLY_BUDGET_USD must be above ONBRAND_FIXED_USD_PER_MONTH: nothing is left for GPUs"
            )
        return problems

    def _origin_problems(self) -> list[str]:
        in_production = self.env is Environment.PRODUCTION
        allowed = ("https",) if in_production else ("http", "https")
        for origin in self.cors_origins:
            url = _split(origin)
            # As browsers write it: they send small letters, and no port that is the scheme's own.
            is_exact = f"{url.scheme}://{url.netloc}" == origin == origin.lower() and not origin.endswith(":443")
            is_origin = url.scheme in allowed and url.hostname and is_exact
            if not (is_origin and "*" not in origin) and not (origin == "*" and not in_production):
                return ["each of ONBRAND_CORS_ORIGINS must be an https origin without a path or wildcard"]
        return []

    @property
    def directory(self) -> Directory:
        """Who signs tokens, for which applications, and who is admitted: by Entra or by the local issuer."""
        denied = frozenset(self.denied_users)
        if self.auth is SignIn.LOCAL:
            tenant, api, spa, group = LOCAL_TENANT_ID, LOCAL_API_CLIENT_ID, LOCAL_SPA_CLIENT_ID, LOCAL_GROUP_ID
            url = f"http://127.0.0.1:{self.port}/{tenant}/v2.0/.well-known/openid-configuration"
            return Directory(tenant, api, spa, group, None, False, url, denied, LOCAL_REVIEWER_ROLE)
        entra_tenant, entra_api, entra_spa = self.entra_tenant_id, self.entra_api_client_id, self.entra_spa_client_id
        if entra_tenant is None or entra_api is None or entra_spa is None:
            raise ConfigError("ONBRAND_AUTH=entra needs the tenant's and both applications' ids")
        url = self.entra_metadata_url or MICROSOFT_METADATA_URL.format(tenant=entra_tenant)
        role, guests, reviewer = self.entra_role, self.entra_allow_guests, self.entra_reviewer_role
        return Directory(entra_tenant, entra_api, entra_spa, self.entra_group_id, role, guests, url, denied, reviewer)

    def _storage_problems(self) -> list[str]:
        url, problems = _split(self.storage_url or ""), []
        if url.scheme == "az":
            problems += _container_problems("ONBRAND_STORAGE_URL", url)
        elif self.storage_url is not None:
            is_plain = url.scheme == "file" and not (url.netloc or url.query or url.fragment)
            if not (is_plain and re.match("/[^/]", url.path)):
                problems.append("ONBRAND_STORAGE_URL must be az://CONTAINER, or file:///FOLDER for a folder")
        model = _split(self.model_path or "")
        if model.scheme == "az":
            problems += _container_problems("ONBRAND_MODEL_PATH", model)
        in_azure = [name for name, at in (("STORAGE_URL", url), ("MODEL_PATH", model)) if at.scheme == "az"]
        if in_azure:
            return [*problems, *self._azure_problems(f"ONBRAND_{in_azure[0]}=az://…")]
        chosen = [name for name in _AZURE_SETTINGS if getattr(self, name) is not None]
        return [*(f"ONBRAND_{name.upper()} needs ONBRAND_STORAGE_URL=az://CONTAINER" for name in chosen), *problems]

    def _azure_problems(self, because: str) -> list[str]:
        problems = []
        if not _ACCOUNT.fullmatch(self.storage_azure_account or ""):
            problems.append(f"{because} needs ONBRAND_STORAGE_AZURE_ACCOUNT, 3 to 24 small letters and digits")
        if self.storage_azure_key is not None and self.storage_azure_client_id is not None:
            problems.append("set either ONBRAND_STORAGE_AZURE_KEY or ONBRAND_STORAGE_AZURE_CLIENT_ID, not both")
        if self.storage_azure_key is not None and not _is_base64(self.storage_azure_key.get_secret_value()):
            problems.append("ONBRAND_STORAGE_AZURE_KEY must be one of the storage account's keys, which are base64")
        endpoint = _split(self.storage_azure_endpoint or "https://x")
        allows_http = self.env is not Environment.PRODUCTION or endpoint.hostname in LOOPBACK_HOSTS
        is_address = endpoint.hostname and not (endpoint.username or endpoint.query or endpoint.fragment)
        if not is_address or (endpoint.scheme != "https" and not (endpoint.scheme == "http" and allows_http)):
            problems.append("ONBRAND_STORAGE_AZURE_ENDPOINT must be an https address")
        return problems

    @property
    def database_identity(self) -> ManagedIdentity | None:
        """The identity whose tokens open the database; None if a password does."""
        if self.database_auth is not DatabaseSignIn.ENTRA:
            return None
        # Azure sets these in container apps and app services. They are not settings of ours.
        endpoint, secret = os.environ.get("IDENTITY_ENDPOINT"), os.environ.get("IDENTITY_HEADER")
        if endpoint and secret:
            return ManagedIdentity(self.database_client_id, endpoint, SecretStr(secret))
        host = os.environ.get(_IMDS_HOST_VARIABLE) or _IMDS_HOST
        return ManagedIdentity(self.database_client_id, f"{host.rstrip('/')}/metadata/identity/oauth2/token", None)

    @property
    def storage(self) -> Path | AzureContainer:
        """Where images and packs are: a folder, or a container of Azure Blob Storage."""
        url = _split(self.storage_url or "")
        if url.scheme == "az" and self.storage_azure_account is not None:
            return self._container(url, self.storage_azure_account)
        return Path(unquote(url.path)) if url.scheme == "file" else self.data_dir / "images"

    def place(self, address: str) -> Path | AzureContainer:
        """A folder of this machine, or a part of a container in the configured account.

        Raises:
            ConfigError: the address is wrong, or no account is set.
        """
        url = _split(address)
        if url.scheme != "az":
            return Path(address)
        if problems := _container_problems("the address", url):
            raise ConfigError("; ".join(problems))
        if self.storage_azure_account is None:
            raise ConfigError("An address az://… needs ONBRAND_STORAGE_AZURE_ACCOUNT")
        return self._container(url, self.storage_azure_account)

    def _container(self, url: SplitResult, account: str) -> AzureContainer:
        return AzureContainer(
            account,
            (self.storage_azure_endpoint or f"https://{account}.blob.core.windows.net").rstrip("/"),
            url.netloc,
            url.path.strip("/") or None,
            self.storage_azure_key,
            self.storage_azure_client_id,
            # Azure's webhook for workload identities sets this variable in a pod. It is not one of our settings.
            is_workload="AZURE_FEDERATED_TOKEN_FILE" in os.environ,
        )

    @property
    def model_place(self) -> str:
        """Where the model's base is: a directory, or `az://CONTAINER/PREFIX`. By default a folder of the repository."""
        return self.model_path or str(REPOSITORY / "models" / self.model.value)


def _container_problems(name: str, url: SplitResult) -> list[str]:
    is_plain = not (url.query or url.fragment)
    if is_plain and _PREFIX.fullmatch(url.path) and _CONTAINER.fullmatch(url.netloc):
        return []
    return [
        f"{name} must be az://CONTAINER or az://CONTAINER/PREFIX, where CONTAINER has"
        " 3 to 63 small letters, digits and single hyphens"
    ]


def _split(url: str) -> SplitResult:
    """The parts of an address. All are empty if the text is no address."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigError: one line names every wrong setting, but never its value.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(dict(problem)) for problem in error.errors())) from None


def unknown_settings() -> list[str]:
    """Names in the environment that look like settings and are none. `load_settings` ignores them."""
    prefix, known = "ONBRAND_", {name.upper() for name in Settings.model_fields}
    named = (name for name, value in os.environ.items() if value and name.upper().startswith(prefix))
    return sorted(name for name in named if name.upper().removeprefix(prefix) not in known)


def _sentence(problem: dict[str, object]) -> str:
    location = problem["loc"]
    message = _WORDS.get(str(problem["type"])) or str(problem["msg"]).removeprefix("Value error, ")
    name = str(location[0]) if isinstance(location, tuple) and location else ""
    return f"ONBRAND_{name.upper()} {message.replace('Input should be', 'must be')}" if name else message
