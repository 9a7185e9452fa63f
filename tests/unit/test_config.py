"""Settings: each documented, wrong ones refused in one line, and what production insists on."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import get_args
from uuid import uuid4

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from onbrand import logs
from onbrand.cli import main
from onbrand.config import (
    LOCAL_GROUP_ID,
    LOCAL_TENANT_ID,
    REPOSITORY,
    AzureContainer,
    Environment,
    LogFormat,
    ModelName,
    PrecisionChoice,
    Settings,
    SignIn,
    load_settings,
)
from onbrand.errors import ConfigError
from onbrand.hidream.models import MODELS, Precision

CANARY = "canary7f3a91"
DOCUMENTED = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### `ONBRAND_(\w+)`\n(.*?)(?=^##|\Z)", DOCUMENTED, re.DOTALL | re.MULTILINE))
FIELDS = Settings.model_fields
ENTRA = {
    "AUTH": "entra",
    "ENTRA_TENANT_ID": str(uuid4()),
    "ENTRA_API_CLIENT_ID": str(uuid4()),
    "ENTRA_SPA_CLIENT_ID": str(uuid4()),
    "ENTRA_GROUP_ID": str(uuid4()),
}
PRODUCTION = ENTRA | {
    "ENV": "production",
    "DATABASE_URL": f"postgresql://onbrand:{CANARY}@db/onbrand?sslmode=verify-full",
    "STORAGE_URL": "file:///var/lib/onbrand",
    "MODEL": "mini",
}
DATABASE_BY_ENTRA = {
    "DATABASE_URL": "postgresql://identity@db/onbrand?sslmode=verify-full",
    "DATABASE_AUTH": "entra",
}
AZURE = {"STORAGE_URL": "az://images", "STORAGE_AZURE_ACCOUNT": "onbrandimages"}


class Variables:
    """The environment of a test, with none of Onbrand's variables but its own."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self._patch.setenv(f"ONBRAND_{name}", value)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Variables:
    for name in [name for name in os.environ if name.startswith("ONBRAND_")]:
        monkeypatch.delenv(name)
    return Variables(monkeypatch)


def refusal(variables: Variables, **settings: str) -> str:
    variables.set(**settings)
    with pytest.raises(ConfigError) as refused:
        load_settings()
    assert "\n" not in refused.value.message
    assert CANARY not in refused.value.message
    return refused.value.message


# --- documentation ---------------------------------------------------------------------------------------------------


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert [name.lower() for name in re.findall(r"^### `ONBRAND_(\w+)`$", DOCUMENTED, re.MULTILINE)] == [
        name.lower() for name in SECTIONS
    ]
    assert {name.lower() for name in SECTIONS} == set(FIELDS)


@pytest.mark.parametrize("name", SECTIONS)
def test_a_setting_has_a_sentence_a_unit_a_default_and_an_example_that_works(name: str, variables: Variables) -> None:
    lines = SECTIONS[name].strip().splitlines()
    assert lines[0].endswith(".")
    labels = [line.partition(":")[0] for line in lines if line.startswith("* ")]
    assert labels == ["* Unit", "* Default", "* Example"]
    assert documented(name, "Default") == default_in_words(FIELDS[name.lower()])
    variable, _, value = documented(name, "Example").strip("`").partition("=")
    assert variable == f"ONBRAND_{name}"
    if name in ("HOST", "ENV"):
        variables.set(**PRODUCTION)  # what they are for; the defaults refuse it
    if name == "AUTH":
        variables.set(**ENTRA)
    if name.startswith("STORAGE_"):
        variables.set(**AZURE)
    if name in ("DATABASE_AUTH", "DATABASE_CLIENT_ID"):
        variables.set(**DATABASE_BY_ENTRA)
    if name == "MONTHLY_BUDGET_USD":
        variables.set(GPU_USD_PER_SECOND="0.001764")
    variables.set(**{name: value})
    assert getattr(load_settings(), name.lower()) is not None


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.metadata])
def test_the_documented_limits_are_the_ones_that_hold(name: str) -> None:
    limits = [getattr(one, kind) for kind in ("ge", "le") for one in FIELDS[name].metadata if hasattr(one, kind)]
    if limits:
        assert documented(name.upper(), "Unit").endswith(f"{limits[0]} to {limits[1]}")


def documented(name: str, label: str) -> str:
    found = re.search(rf"^\* {label}: (.+)$", SECTIONS[name], re.MULTILINE)
    assert found
    return found[1]


def default_in_words(field: FieldInfo) -> str:
    match field.default:
        case None:
            return "unset"
        case ():
            return "none"
        case bool(value):
            return f"`{str(value).lower()}`"
        case Path() as path if path.is_absolute():
            return f"`{path.relative_to(REPOSITORY)}` in the repository"
        case value:
            return f"`{value}`"


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("variables")
def test_every_default_works_on_one_machine() -> None:
    settings = load_settings()
    assert (settings.env, settings.auth, settings.host) == (Environment.LOCAL, SignIn.LOCAL, "127.0.0.1")
    assert settings.directory.tenant_id == LOCAL_TENANT_ID


def test_an_empty_variable_is_an_unset_one(variables: Variables) -> None:
    variables.set(PORT="", DATABASE_URL="", ENTRA_GROUP_ID="")
    settings = load_settings()
    assert (settings.port, settings.database_url, settings.entra_group_id) == (8000, None, None)


def test_origins_are_separated_by_commas(variables: Variables) -> None:
    variables.set(CORS_ORIGINS=" https://a.example, http://localhost:5173 ,")
    assert load_settings().cors_origins == ("https://a.example", "http://localhost:5173")


def test_denied_users_are_separated_by_commas_and_reach_the_token_check(variables: Variables) -> None:
    variables.set(DENIED_USERS=f" {LOCAL_TENANT_ID},{LOCAL_GROUP_ID} ,")
    assert load_settings().directory.denied_users == {LOCAL_TENANT_ID, LOCAL_GROUP_ID}
    variables.set(**ENTRA)
    assert load_settings().directory.denied_users == {LOCAL_TENANT_ID, LOCAL_GROUP_ID}


def test_a_log_level_may_be_in_small_letters(variables: Variables) -> None:
    variables.set(LOG_LEVEL="debug", LOG_FORMAT="text")
    assert (load_settings().log_level, load_settings().log_format) == ("DEBUG", LogFormat.TEXT)


def test_production_with_entra_is_accepted(variables: Variables) -> None:
    variables.set(**PRODUCTION, HOST="0.0.0.0", CORS_ORIGINS="https://onbrand.example")
    settings = load_settings()
    directory = settings.directory
    assert str(directory.tenant_id) == ENTRA["ENTRA_TENANT_ID"]
    assert directory.metadata_url == (
        f"https://login.microsoftonline.com/{directory.tenant_id}/v2.0/.well-known/openid-configuration"
    )
    assert CANARY not in repr(settings)


def test_a_role_may_stand_in_for_the_group(variables: Variables) -> None:
    variables.set(**{name: value for name, value in PRODUCTION.items() if name != "ENTRA_GROUP_ID"}, ENTRA_ROLE="R")
    assert load_settings().directory.role == "R"


# --- refusing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", CANARY, "ONBRAND_PORT must be a whole number"),
        ("PORT", "80.5", "ONBRAND_PORT must be a whole number"),
        ("PORT", "0", "ONBRAND_PORT must be greater than or equal to 1"),
        ("PORT", "65536", "ONBRAND_PORT must be less than or equal to 65535"),
        ("ENV", CANARY, "ONBRAND_ENV must be 'local' or 'production'"),
        ("AUTH", CANARY, "ONBRAND_AUTH must be 'local' or 'entra'"),
        ("MODEL", CANARY, "ONBRAND_MODEL must be 'mini', 'hidream-i1-fast', 'hidream-i1-dev' or 'hidream-i1-full'"),
        (
            "DENIED_USERS",
            f"{LOCAL_TENANT_ID},{CANARY}",
            f"ONBRAND_DENIED_USERS must be a UUID, such as {LOCAL_TENANT_ID}",
        ),
        ("METRICS_PORT", "8000", "ONBRAND_METRICS_PORT must be another port than ONBRAND_PORT"),
        ("LEASE_SECONDS", CANARY, "ONBRAND_LEASE_SECONDS must be a number"),
        ("LEASE_SECONDS", "0", "ONBRAND_LEASE_SECONDS must be greater than or equal to 1"),
        ("ENTRA_GROUP_ID", CANARY, f"ONBRAND_ENTRA_GROUP_ID must be a UUID, such as {LOCAL_TENANT_ID}"),
        ("ENTRA_ALLOW_GUESTS", CANARY, "ONBRAND_ENTRA_ALLOW_GUESTS must be true or false"),
        ("LOG_LEVEL", CANARY, "ONBRAND_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR"),
        ("LOG_FORMAT", CANARY, "ONBRAND_LOG_FORMAT must be 'json' or 'text'"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_not_repeated(
    variables: Variables, name: str, value: str, sentence: str
) -> None:
    assert refusal(variables, **{name: value}) == sentence


def test_all_wrong_values_are_named_at_once(variables: Variables) -> None:
    message = refusal(variables, PORT=CANARY, ENV=CANARY, MAX_ATTEMPTS=CANARY)
    assert [part.split()[0] for part in message.split("; ")] == ["ONBRAND_ENV", "ONBRAND_PORT", "ONBRAND_MAX_ATTEMPTS"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "onbrand.example", "127.0.0.1.example"])
def test_the_local_sign_in_stays_on_this_machine(variables: Variables, host: str) -> None:
    assert "ONBRAND_HOST must stay 127.0.0.1" in refusal(variables, HOST=host)


@pytest.mark.parametrize("missing", [name for name in ENTRA if name != "AUTH"])
def test_entra_needs_its_ids(variables: Variables, missing: str) -> None:
    message = refusal(variables, **{name: value for name, value in ENTRA.items() if name != missing})
    assert f"ONBRAND_{missing}" in message


NO_HTTPS_ADDRESSES = [
    *(f"http://{CANARY}", f"ftp://{CANARY}", CANARY, "http://127.0.0.1/x", "http://localhost/x"),
    *("https://", "https://[", "//x", "file:///etc/passwd"),
]
NO_HTTPS_ORIGINS = [
    *(f"http://{CANARY}", f"https://{CANARY}/", f"https://{CANARY}/x", CANARY, f"https://a.example,{CANARY}"),
    *(
        "*",
        "https://*.example",
        "null",
        "https://",
        "https://[",
        "https://a.example?x",
        "HTTPS://a.example",
        "https://A.example",
        "https://a.example:443",
    ),
]
PRODUCTION_REFUSALS = [
    ({"AUTH": "local"}, "ONBRAND_ENV=production refuses local sign-in"),
    ({"DATABASE_URL": ""}, "ONBRAND_ENV=production needs ONBRAND_DATABASE_URL"),
    ({"STORAGE_URL": ""}, "ONBRAND_ENV=production needs ONBRAND_STORAGE_URL"),
    ({"MODEL": ""}, "ONBRAND_ENV=production needs ONBRAND_MODEL"),
    ({"ENTRA_GROUP_ID": ""}, "set ONBRAND_ENTRA_GROUP_ID or ONBRAND_ENTRA_ROLE"),
    ({"ENTRA_GROUP_ID": "", "ENTRA_ROLE": " "}, "ONBRAND_ENTRA_ROLE must not be blank"),
    ({"SCALER_PASSWORD": "short"}, "ONBRAND_SCALER_PASSWORD must have 24 characters or more"),
    *[
        ({"ENTRA_METADATA_URL": url}, "ONBRAND_ENTRA_METADATA_URL must be an https address")
        for url in NO_HTTPS_ADDRESSES
    ],
    *[({"CORS_ORIGINS": origin}, "ONBRAND_CORS_ORIGINS must be an https origin") for origin in NO_HTTPS_ORIGINS],
]


@pytest.mark.parametrize(("change", "sentence"), PRODUCTION_REFUSALS)
def test_production_does_not_start_with_what_is_unsafe(
    variables: Variables,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    sentence: str,
) -> None:
    variables.set(**PRODUCTION | change)
    monkeypatch.setattr(sys, "argv", ["onbrand", "api"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (78, "")
    assert sentence in printed.err
    assert printed.err.startswith("onbrand: ")
    assert printed.err.count("\n") == 1
    assert CANARY not in printed.err


@pytest.mark.parametrize("origin", ["http://localhost:5173/", "localhost:5173", "*.example", "https://a.example/x"])
def test_an_origin_that_could_never_match_is_refused_anywhere(variables: Variables, origin: str) -> None:
    assert "ONBRAND_CORS_ORIGINS" in refusal(variables, CORS_ORIGINS=origin)


@pytest.mark.parametrize(
    "url", [CANARY, f"mysql://{CANARY}", f"postgresql://x:{CANARY}@[", "postgresql://x?nonsense=1"]
)
def test_a_database_address_that_is_none_is_refused_without_repeating_it(
    variables: Variables,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    url: str,
) -> None:
    variables.set(DATABASE_URL=url, DATA_DIR=str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["onbrand", "api"])
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # it would take pytest's own handlers away
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 78
    assert capsys.readouterr().err == "onbrand: ONBRAND_DATABASE_URL is not a PostgreSQL address (postgresql://…)\n"


def test_secrets_are_secret_strings() -> None:
    kinds = {name: field.annotation for name, field in FIELDS.items()}
    assert kinds["database_url"] == SecretStr | None
    assert {name for name, kind in kinds.items() if SecretStr in get_args(kind)} == {
        "database_url",
        "scaler_password",
        "storage_azure_key",
    }


# --- how the database is reached -------------------------------------------------------------------------------------

LOCAL_ADDRESSES = [
    f"postgresql://onbrand:{CANARY}@/onbrand?host=/run/postgresql",  # as in infra/compose.yaml
    f"postgresql://onbrand:{CANARY}@%2Frun%2Fpostgresql/onbrand",
    "postgresql:///onbrand",
    f"host=/run/postgresql user=onbrand password={CANARY}",
    f"postgresql://onbrand:{CANARY}@127.0.0.1:5432/onbrand",
    f"postgresql://onbrand:{CANARY}@[::1]/onbrand?sslmode=disable",
    f"postgresql://onbrand:{CANARY}@localhost/onbrand",
    f"postgresql://onbrand:{CANARY}@db/onbrand?hostaddr=127.0.0.1",
]
UNVERIFIED_ADDRESSES = [
    f"postgresql://onbrand:{CANARY}@db/onbrand",
    *(
        f"postgresql://onbrand:{CANARY}@db/onbrand?sslmode={mode}"
        for mode in ("disable", "allow", "prefer", "require", "verify-ca")
    ),
    # libpq takes the last word, and an address where a name is also given.
    f"postgresql://onbrand:{CANARY}@db/onbrand?sslmode=verify-full&sslmode=require",
    f"postgresql://onbrand:{CANARY}@db/onbrand?sslmode=verify-full&ssl=true",
    f"postgresql://onbrand:{CANARY}@localhost/onbrand?hostaddr=10.0.0.7",
    f"postgresql://onbrand:{CANARY}@localhost/onbrand?host=db",
    f"postgresql://onbrand:{CANARY}@127.0.0.1,db/onbrand",
    f"postgresql://onbrand:{CANARY}@127.0.0.1.example/onbrand",
    f"postgresql://onbrand:{CANARY}@/onbrand?service=elsewhere",
    f"host=db user=onbrand password={CANARY}",
]


@pytest.mark.parametrize("url", LOCAL_ADDRESSES)
def test_a_socket_and_a_loopback_address_need_no_certificate(variables: Variables, url: str) -> None:
    variables.set(**PRODUCTION | {"DATABASE_URL": url})
    load_settings()


@pytest.mark.parametrize("url", UNVERIFIED_ADDRESSES)
def test_production_refuses_a_database_whose_name_nobody_proves(variables: Variables, url: str) -> None:
    message = refusal(variables, **PRODUCTION | {"DATABASE_URL": url})
    assert message.startswith("ONBRAND_ENV=production needs sslmode=verify-full in ONBRAND_DATABASE_URL, unless")


def test_what_libpqs_own_variables_say_counts(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    variables.set(**PRODUCTION | {"DATABASE_URL": f"postgresql://onbrand:{CANARY}@db/onbrand"})
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    load_settings()
    variables.set(DATABASE_URL="postgresql:///onbrand")
    monkeypatch.delenv("PGSSLMODE")
    monkeypatch.setenv("PGHOST", "db")
    assert "sslmode=verify-full" in refusal(variables)


def test_on_one_machine_any_database_will_do(variables: Variables) -> None:
    variables.set(DATABASE_URL=f"postgresql://onbrand:{CANARY}@db/onbrand")
    load_settings()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"DATABASE_URL": ""}, "ONBRAND_DATABASE_AUTH=entra needs ONBRAND_DATABASE_URL"),
        (
            {"DATABASE_URL": f"postgresql://identity:{CANARY}@db/onbrand?sslmode=verify-full"},
            "ONBRAND_DATABASE_AUTH=entra takes no password: remove it from ONBRAND_DATABASE_URL",
        ),
        (
            {"DATABASE_URL": "postgresql://db/onbrand?sslmode=verify-full"},
            "ONBRAND_DATABASE_AUTH=entra needs a user in ONBRAND_DATABASE_URL: the identity's name",
        ),
        (  # a token is sent as it is, also outside production
            {"DATABASE_URL": "postgresql://identity@db/onbrand?sslmode=require"},
            "ONBRAND_DATABASE_AUTH=entra needs sslmode=verify-full in ONBRAND_DATABASE_URL",
        ),
        ({"DATABASE_URL": CANARY}, "ONBRAND_DATABASE_URL is not a PostgreSQL address"),
        ({"DATABASE_AUTH": "kerberos"}, "ONBRAND_DATABASE_AUTH must be 'password' or 'entra'"),
        (
            {"DATABASE_AUTH": "", "DATABASE_CLIENT_ID": str(uuid4())},
            "ONBRAND_DATABASE_CLIENT_ID needs ONBRAND_DATABASE_AUTH=entra",
        ),
        ({"DATABASE_CLIENT_ID": "identity"}, "ONBRAND_DATABASE_CLIENT_ID must be a UUID"),
    ],
)
def test_a_sign_in_to_the_database_that_cannot_work_is_refused(
    variables: Variables, change: dict[str, str], sentence: str
) -> None:
    assert refusal(variables, **DATABASE_BY_ENTRA | change).startswith(sentence)


def test_the_endpoint_of_the_identity_is_the_one_that_azure_names(
    variables: Variables, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        monkeypatch.delenv(name, raising=False)
    variables.set(**DATABASE_BY_ENTRA)
    virtual_machine = load_settings().database_identity
    assert virtual_machine is not None
    assert (virtual_machine.endpoint, virtual_machine.secret, virtual_machine.client_id) == (
        "http://169.254.169.254/metadata/identity/oauth2/token",
        None,
        None,
    )
    monkeypatch.setenv("IDENTITY_ENDPOINT", "http://localhost:42356/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", CANARY)
    client_id = uuid4()
    variables.set(DATABASE_CLIENT_ID=str(client_id))
    container = load_settings().database_identity
    assert container is not None
    assert (container.endpoint, container.client_id) == ("http://localhost:42356/msi/token", client_id)
    assert CANARY not in repr(container)


# --- where the images are --------------------------------------------------------------------------------------------


def storage(variables: Variables, **settings: str) -> Path | AzureContainer:
    variables.set(**settings)
    return load_settings().storage


def test_the_images_are_in_the_data_directory_or_in_the_folder_that_is_named(variables: Variables) -> None:
    assert storage(variables, DATA_DIR="/srv/data") == Path("/srv/data/images")
    assert storage(variables, STORAGE_URL="file:///srv/our%20images") == Path("/srv/our images")


def test_a_container_is_named_by_its_address_and_its_account(variables: Variables) -> None:
    place = storage(variables, **AZURE)
    assert place == AzureContainer(
        "onbrandimages", "https://onbrandimages.blob.core.windows.net", "images", None, None, None, False
    )
    changes = {"STORAGE_URL": "az://images/some/prefix/", "STORAGE_AZURE_ENDPOINT": "https://blob.example/"}
    place = storage(variables, **changes, STORAGE_AZURE_CLIENT_ID=str(LOCAL_TENANT_ID))
    assert place == AzureContainer(
        "onbrandimages", "https://blob.example", "images", "some/prefix", None, LOCAL_TENANT_ID, False
    )


def test_a_pod_with_a_workload_identity_uses_it(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token")
    place = storage(variables, **AZURE)
    assert isinstance(place, AzureContainer)
    assert place.is_workload


@pytest.mark.parametrize(
    "url",
    [
        *(CANARY, f"/{CANARY}", f"s3://{CANARY}", f"https://{CANARY}.blob.core.windows.net/images", "az:images"),
        *("file://", "file:///", f"file://{CANARY}/images", f"file:{CANARY}", f"file:///{CANARY}?x", "//images"),
    ],
)
def test_an_address_of_no_store_is_refused(variables: Variables, url: str) -> None:
    message = refusal(variables, **AZURE | {"STORAGE_URL": url, "STORAGE_AZURE_ACCOUNT": ""})
    assert message.startswith("ONBRAND_STORAGE_URL must be az://CONTAINER")


@pytest.mark.parametrize(
    "url",
    [
        *(
            f"az://{name}"
            for name in ("", "ab", "a" * 64, "Images", "-images", "images-", "im--ages", "im_ages", "ümlaut")
        ),
        *(f"az://{CANARY}@images", "az://images:80", "az://images?x", "az://images#x", "az://images.example"),
        *(f"az://images/{prefix}" for prefix in ("..", "a/../b", ".", "a//b", "%2e%2e", "a b", "/".join("a" * 9))),
    ],
)
def test_a_container_or_prefix_that_azure_would_not_take_is_refused(variables: Variables, url: str) -> None:
    message = refusal(variables, **AZURE | {"STORAGE_URL": url})
    assert message.startswith("ONBRAND_STORAGE_URL must be az://CONTAINER or az://CONTAINER/PREFIX")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"STORAGE_AZURE_ACCOUNT": ""}, "ONBRAND_STORAGE_URL=az://… needs ONBRAND_STORAGE_AZURE_ACCOUNT"),
        ({"STORAGE_AZURE_ACCOUNT": f"{CANARY}.example"}, "needs ONBRAND_STORAGE_AZURE_ACCOUNT, 3 to 24 small letters"),
        ({"STORAGE_AZURE_KEY": f"{CANARY}!"}, "ONBRAND_STORAGE_AZURE_KEY must be one of the storage account's keys"),
        (
            {"STORAGE_AZURE_KEY": "eA==", "STORAGE_AZURE_CLIENT_ID": str(LOCAL_TENANT_ID)},
            "set either ONBRAND_STORAGE_AZURE_KEY or ONBRAND_STORAGE_AZURE_CLIENT_ID, not both",
        ),
        ({"STORAGE_AZURE_CLIENT_ID": CANARY}, "ONBRAND_STORAGE_AZURE_CLIENT_ID must be a UUID"),
        *[
            ({"STORAGE_AZURE_ENDPOINT": endpoint}, "ONBRAND_STORAGE_AZURE_ENDPOINT must be an https address")
            for endpoint in (
                *(CANARY, f"ftp://{CANARY}", "https://", f"https://x:{CANARY}@blob.example", "https://blob.example?x"),
                *("https://[", "//blob.example"),
            )
        ],
        *[
            ({"STORAGE_URL": "", "STORAGE_AZURE_ACCOUNT": "", name: value}, f"ONBRAND_{name} needs ONBRAND_STORAGE_URL")
            for name, value in {
                "STORAGE_AZURE_ENDPOINT": "https://blob.example",
                "STORAGE_AZURE_ACCOUNT": "onbrandimages",
                "STORAGE_AZURE_KEY": "eA==",
                "STORAGE_AZURE_CLIENT_ID": str(LOCAL_TENANT_ID),
            }.items()
        ],
    ],
)
def test_settings_for_azure_that_make_no_sense_are_refused(
    variables: Variables, change: dict[str, str], sentence: str
) -> None:
    assert sentence in refusal(variables, **AZURE | change)


@pytest.mark.parametrize("endpoint", ["http://azurite:10000/devstoreaccount1", "http://127.0.0.1.example/x"])
def test_a_store_over_plain_http_is_for_this_machine_or_for_trying_out(variables: Variables, endpoint: str) -> None:
    assert isinstance(storage(variables, **AZURE, STORAGE_AZURE_ENDPOINT=endpoint), AzureContainer)
    message = refusal(variables, **PRODUCTION | AZURE, STORAGE_AZURE_ENDPOINT=endpoint)
    assert message == "ONBRAND_STORAGE_AZURE_ENDPOINT must be an https address"
    local = "http://127.0.0.1:10000/devstoreaccount1"
    assert isinstance(storage(variables, STORAGE_AZURE_ENDPOINT=local), AzureContainer)


def test_the_names_of_models_and_precisions_are_the_tables() -> None:
    assert [name.value for name in ModelName] == list(MODELS)
    assert [name.value for name in PrecisionChoice][1:] == [precision.value for precision in Precision]


@pytest.mark.parametrize("package", ["torch", "PIL"])
def test_a_worker_without_its_packages_says_what_to_install(
    variables: Variables, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    variables.set()
    monkeypatch.setitem(sys.modules, package, None)  # Python then takes it for not installed
    monkeypatch.setattr(sys, "argv", ["onbrand", "worker"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 78
    told = f"onbrand: A worker needs {package}. Install Onbrand with its extra `worker`.\n"
    assert capsys.readouterr().err == told
