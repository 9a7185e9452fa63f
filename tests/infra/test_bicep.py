"""The Bicep files are whole, and the check finds what breaks them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.check.__main__ import check
from infra.check.files import read_all
from infra.check.settings import check_settings
from onbrand.config import REPOSITORY, Settings, load_settings

INFRA = REPOSITORY / "infra"


@dataclass(frozen=True)
class Seed:
    """A defect: in `file`, `old` becomes `new`, and the check says `found` at the line where `new` begins.

    `at` is a text on the line that is named, where that is another one.
    """

    name: str
    file: str
    old: str
    new: str
    found: str
    at: str | None = None


SEEDS = (
    Seed(
        "syntax", "modules/page.bicep", "    name: 'Free'", "    name 'Free'", "breaks Bicep's grammar", "name 'Free'"
    ),
    Seed(
        "unknown property",
        "modules/worker.bicep",
        "        cooldownPeriod: 30",
        "        cooldownSeconds: 30",
        "there is no property `cooldownSeconds` here; perhaps `cooldownPeriod`",
    ),
    Seed(
        "wrong type",
        "modules/api.bicep",
        "        targetPort: 8000",
        "        targetPort: '8000'",
        "'8000' is string, and int belongs here",
    ),
    Seed(
        "missing",
        "modules/database.bicep",
        "      startIpAddress: '0.0.0.0'\n",
        "",
        "`startIpAddress` is missing",
        "properties: {\n      endIpAddress",
    ),
    Seed(
        "API version",
        "modules/jobs.bicep",
        "resource clean 'Microsoft.App/jobs@2026-07-01'",
        "resource clean 'Microsoft.App/jobs@2026-07-02'",
        "Microsoft.App/jobs is checked as of 2026-07-01, not 2026-07-02",
    ),
    Seed(
        "public blob",
        "modules/storage.bicep",
        "    allowBlobPublicAccess: false",
        "    allowBlobPublicAccess: true",
        "`allowBlobPublicAccess` must be false",
    ),
    Seed(
        "shared key",
        "modules/storage.bicep",
        "    allowSharedKeyAccess: false\n",
        "",
        "`allowSharedKeyAccess` must be false, and is missing",
        "properties: {\n    accessTier",
    ),
    Seed(
        "a GPU that waits",
        "modules/worker.bicep",
        "        minReplicas: 0",
        "        minReplicas: 1",
        "`minReplicas` must be 0: a GPU that waits is billed by the second",
    ),
    Seed(
        "grace",
        "modules/worker.bicep",
        "      terminationGracePeriodSeconds: 600",
        "      terminationGracePeriodSeconds: 30",
        "`terminationGracePeriodSeconds` must be 300 or more",
    ),
    Seed(
        "no budget",
        "main.bicep",
        "module budget 'modules/budget.bicep' =",
        "module budget 'modules/page.bicep' =",
        "nothing here deploys a Microsoft.Consumption/budgets",
        "// Everything of Onbrand",
    ),
    Seed(
        "a name too many",
        "modules/api.bicep",
        "{ name: 'ONBRAND_PORT', value: '8000' }",
        "{ name: 'ONBRAND_PORTS', value: '8000' }",
        "ONBRAND_PORTS is no setting of Onbrand",
    ),
    Seed(
        "a name too few",
        "main.bicep",
        "  { name: 'ONBRAND_ENTRA_REVIEWER_ROLE', value: entraReviewerRole }\n",
        "",
        "the setting ONBRAND_ENTRA_REVIEWER_ROLE is given to nobody",
        "[\n  { name: 'ONBRAND_ENV'",
    ),
    # Beyond the twelve: what compilers of Bicep say, too.
    Seed(
        "an output that isn't there",
        "main.bicep",
        "databaseHost: database.outputs.host",
        "databaseHost: database.outputs.hostname",
        "modules/database.bicep has no output `hostname`",
    ),
    Seed(
        "a parameter that isn't there",
        "main.bicep",
        "    cpu: workerCpu",
        "    cpus: workerCpu",
        "modules/worker.bicep has no parameter `cpus`",
    ),
    Seed(
        "a parameter of another type",
        "main.bicep",
        "    maxReplicas: int(workerMaxReplicas)",
        "    maxReplicas: workerMaxReplicas",
        "`maxReplicas` of modules/worker.bicep is int, and this is string",
    ),
    Seed(
        "a name that nobody declares",
        "modules/storage.bicep",
        "name: guid(models.id, id, readerRole)",
        "name: guid(models.id, ids, readerRole)",
        "`ids` is not declared",
    ),
    Seed(
        "a property that can't be read",
        "modules/api.bicep",
        "app.properties.configuration.ingress.fqdn",
        "app.properties.configuration.ingress.hostname",
        "`app` has no `hostname`",
    ),
    Seed(
        "a value of no enumeration",
        "modules/worker.bicep",
        "          storageType: 'EmptyDir'",
        "          storageType: 'EmptyDirectory'",
        "`EmptyDirectory` is none of",
    ),
    Seed(
        "a wrong type inside a loop",
        "modules/storage.bicep",
        "    principalId: id\n    principalType: 'ServicePrincipal'\n    roleDefinitionId: subscriptionResourceId("
        "'Microsoft.Authorization/roleDefinitions', readerRole)",
        "    principalId: 7\n    principalType: 'ServicePrincipal'\n    roleDefinitionId: subscriptionResourceId("
        "'Microsoft.Authorization/roleDefinitions', readerRole)",
        "7 is int, and string belongs here",
    ),
    Seed(
        "an unknown property of a nested resource",
        "modules/database.bicep",
        "      charset: 'UTF8'",
        "      encoding: 'UTF8'",
        "there is no property `encoding` here",
    ),
    Seed(
        "a wrong value in a variable",
        "modules/jobs.bicep",
        "  type: 'UserAssigned'",
        "  type: 'Assigned'",
        "`Assigned` is none of",
    ),
    Seed(
        "a secret with a default",
        "main.bicep",
        "param scalerPassword string\n",
        "param scalerPassword string = 'correct-horse-battery-staple'\n",
        "`scalerPassword` is secret, so it can have no default",
    ),
    Seed(
        "a secret in an output",
        "main.bicep",
        "output ONBRAND_PAGE_ADDRESS string = pageOrigin",
        "output ONBRAND_PAGE_ADDRESS string = scalerPassword",
        "the output `ONBRAND_PAGE_ADDRESS` would show a secret",
    ),
    Seed(
        "a key that is read",
        "modules/storage.bicep",
        "output account string = account.name",
        "output account string = account.listKeys().keys[0].value",
        "`listKeys` reads a key",
    ),
    Seed(
        "another query of the scaler",
        "modules/worker.bicep",
        "query: 'select n from keda_gpu_demand'",
        "query: 'select count(*) from job'",
        "the view decides, not the template",
    ),
    Seed(
        "an app that doesn't wait for its roles",
        "main.bicep",
        "  { name: 'ONBRAND_STORAGE_URL', value: 'az://${storage.outputs.imagesContainer}' }\n"
        "  { name: 'ONBRAND_STORAGE_AZURE_ACCOUNT', value: storage.outputs.account }\n",
        "  { name: 'ONBRAND_STORAGE_URL', value: 'az://onbrand' }\n"
        "  { name: 'ONBRAND_STORAGE_AZURE_ACCOUNT', value: 'onbrand' }\n",
        "`api` must wait for `storage`",
        "module api 'modules/api.bicep'",
    ),
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(INFRA, tmp_path / "infra", ignore=shutil.ignore_patterns("*.py", "__pycache__", "docker"))
    return tmp_path / "infra"


def test_our_own_files_are_whole() -> None:
    assert [str(finding) for finding in check(INFRA)] == []


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_a_defect_is_found_where_it_is(seed: Seed, copy: Path) -> None:
    file = copy / seed.file
    before = file.read_text(encoding="utf-8")
    assert before.count(seed.old) == 1, "the seed fits the file no more"
    after = before.replace(seed.old, seed.new)
    file.write_text(after, encoding="utf-8")
    place = after.index(seed.at or seed.new)
    lines = {after.count("\n", 0, place) + 1 + skipped for skipped in (0, len(seed.new) - len(seed.new.lstrip("\n")))}
    found = [finding for finding in check(copy) if seed.found in finding.text]
    assert [(finding.file, finding.line in lines) for finding in found] == [(seed.file, True)], check(copy)


def test_each_setting_is_given_or_left_alone_on_purpose() -> None:
    templates = read_all(INFRA)
    known = frozenset(Settings.model_fields)
    assert check_settings(templates, known) == []
    [one] = check_settings(templates, known | {"new_setting"})
    assert "ONBRAND_NEW_SETTING is given to nobody" in one.text


def test_the_address_of_the_database_is_one_that_production_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With tokens: it names the identity as its user, has no password, and proves the server's name."""
    found = re.search(r"^output url string = '([^']+)'$", (INFRA / "modules/database.bicep").read_text(), re.MULTILINE)
    assert found is not None
    values = {
        "ownerName": "onbrand-studio-database",
        "databaseName": "onbrand",
        "server.properties.fullyQualifiedDomainName": "onbrand-studio.postgres.database.azure.com",
    }
    monkeypatch.setenv("ONBRAND_DATABASE_URL", re.sub(r"\$\{([^}]+)\}", lambda name: values[name[1]], found[1]))
    # Both as in main.bicep.
    monkeypatch.setenv("ONBRAND_DATABASE_AUTH", "entra")
    monkeypatch.setenv("ONBRAND_DATABASE_CLIENT_ID", "dddddddd-0000-4000-8000-00000000000d")
    assert load_settings().database_identity is not None


def test_the_command_prints_what_it_finds_and_fails(copy: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "infra.check", *arguments]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert (run().returncode, run().stdout) == (0, "")
    (copy / "main.bicep").write_text("resource x", encoding="utf-8")
    broken = run(str(copy))
    assert broken.returncode == 1
    assert "main.bicep:1: this breaks Bicep's grammar" in broken.stdout
    assert run(str(copy / "hooks")).returncode == 1  # a folder without files is no success
