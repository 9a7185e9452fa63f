"""The issuer's key, its address and its metadata."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from onbrand.errors import ConfigError
from onbrand.local.issuer import Issuer
from onbrand.local.signing_key import load_or_create_key


def test_the_key_is_readable_by_its_owner_only_and_kept(tmp_path: Path) -> None:
    first = Issuer("http://localhost:8000", tmp_path / "made" / "here")
    (path,) = (tmp_path / "made" / "here").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Issuer("http://localhost:8000", path.parent).keys() == first.keys()


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(lambda _: load_or_create_key(path).private_numbers().d, range(8)))
    assert len(set(keys)) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_key_is_named_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    path.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(ConfigError, match="delete the file"):
        Issuer("http://localhost:8000", tmp_path)
    assert path.read_text() == "-----BEGIN PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://onbrand.example",
        "http://0.0.0.0:8000",
        "http://192.168.0.2:8000",
        "http://localhost:8000/",
        "localhost",
    ],
)
def test_the_stand_in_only_takes_an_address_of_this_machine(tmp_path: Path, base_url: str) -> None:
    with pytest.raises(ConfigError):
        Issuer(base_url, tmp_path)


def test_discovery_says_what_the_issuer_says(issuer: Issuer) -> None:
    metadata = httpx.get(f"{issuer.url}/v2.0/.well-known/openid-configuration").json()
    assert metadata == issuer.metadata()
    assert httpx.get(metadata["jwks_uri"]).json() == issuer.keys()
    assert "d" not in issuer.keys()["keys"][0]
