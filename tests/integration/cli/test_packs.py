"""`onbrand pack …` as an operator uses it: what it prints, and what it leaves behind."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest

from onbrand.packs.manifest import BrandPack
from onbrand.packs.promotion import Verdict
from tests.packs import SAMPLE, make_pack, sign_pack
from tests.system import onbrand

Run = Callable[..., CompletedProcess[str]]
OVERRIDE = ("--without-sign-off", "the launch is today")


@pytest.fixture
def run(database_url: str, tmp_path: Path) -> Run:
    """`onbrand pack` with a database and a data directory of its own."""

    def run(*arguments: str, **settings: str) -> CompletedProcess[str]:
        settings = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path / "data")} | settings
        return onbrand("pack", *arguments, **settings)

    return run


@pytest.fixture
def pack(tmp_path: Path) -> BrandPack:
    return make_pack(tmp_path / "pack", name="Harbour [bold]", version="3")


def said(done: CompletedProcess[str], code: int = 0) -> str:
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def listed(run: Run) -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in json.loads(said(run("list", "--json")))}


def test_a_pack_is_added_promoted_and_taken_back(run: Run, pack: BrandPack, database_url: str) -> None:
    before = listed(run)
    assert [(one["where"], one["aliases"], one["verdict"]) for one in before.values()] == [
        ("bundled", ["production"], None)
    ]
    added = said(run("add", str(pack.directory)))
    assert added == (
        f"Harbour [bold], version 3, is in the pack store as {pack.id}\nnext: onbrand pack promote {pack.id[:12]}\n"
    )
    assert said(run("verify")).splitlines() == [f"{SAMPLE.id[:12]} is undamaged", f"{pack.id[:12]} is undamaged"]
    refused = said(run("promote", pack.id[:6]), 1)
    assert refused.startswith(f"onbrand: No designer has signed off the pack {pack.id[:12]}")
    assert listed(run)[SAMPLE.id]["aliases"] == ["production"]
    moved = said(run("promote", pack.id[:12], *OVERRIDE))
    assert moved == f"production is {pack.id[:12]} from now on; before it was {SAMPLE.id[:12]}\n"
    assert said(run("promote", pack.id)) == f"nothing to do: production is {pack.id[:12]} already\n"
    assert {one["id"]: one["aliases"] for one in listed(run).values()} == {
        SAMPLE.id: ["previous"],
        pack.id: ["production"],
    }
    assert said(run("rollback")) == f"production is {SAMPLE.id[:12]} again; previous is {pack.id[:12]}\n"
    with psycopg.connect(database_url) as connection:
        events = connection.execute("select action, pack_id, by_user, reason from pack_event order by id").fetchall()
    me = getpass.getuser()
    assert events == [
        ("add", pack.id, me, None),
        ("add", SAMPLE.id, me, None),
        ("promote", pack.id, me, OVERRIDE[1]),
        ("rollback", SAMPLE.id, me, None),
    ]


async def test_the_table_shows_names_as_they_are_and_who_signed_off(run: Run, pack: BrandPack, database: Any) -> None:
    run("add", str(pack.directory))
    await sign_pack(database, pack.id, Verdict.APPROVED)
    assert said(run("promote", pack.id)).startswith("production is")
    head, *rows = said(run("list")).splitlines()
    assert head.split() == ["Name", "Version", "Id", "Model", "Alias", "Sign-off", "Where"]
    (row,) = [row for row in rows if pack.id[:12] in row]
    assert row.startswith("Harbour [bold]  3        ")
    assert "production" in row
    assert "approved by Ada, 20" in row


@pytest.mark.parametrize("command", [["verify"], ["verify", "ID"], ["promote", "ID", *OVERRIDE]])
def test_a_pack_that_is_damaged_in_the_store_is_not_promoted(
    run: Run, pack: BrandPack, tmp_path: Path, command: list[str]
) -> None:
    run("add", str(pack.directory))
    lora = tmp_path / "data" / "images" / "packs" / pack.id / "lora.safetensors"
    lora.write_bytes(b"\0" + lora.read_bytes()[1:])
    told = said(run(*(pack.id if word == "ID" else word for word in command)), 1 if "verify" in command else 78)
    assert told.startswith(f"onbrand: The pack {pack.id[:12]} in the pack store is damaged: lora.safetensors ")
    assert listed(run)[SAMPLE.id]["aliases"] == ["production"]


def test_a_folder_can_be_verified_before_it_is_added(run: Run, pack: BrandPack) -> None:
    assert said(run("verify", str(pack.directory), DATABASE_URL="")) == f"{pack.id[:12]} is undamaged\n"
    pack.path("README.md").write_text("!")
    assert "README.md" in said(run("verify", str(pack.directory), DATABASE_URL=""), 1)


def test_missing_and_damaged_packs_are_listed_as_such(run: Run, pack: BrandPack, tmp_path: Path) -> None:
    run("add", str(pack.directory))
    run("promote", pack.id, "--to", "candidate")
    directory = tmp_path / "data" / "images" / "packs" / pack.id
    manifest = (directory / "pack.json").read_bytes()
    (directory / "pack.json").write_bytes(manifest.replace(b"Harbour", b"Habrour"))
    entry = listed(run)[pack.id]
    assert (entry["where"], entry["name"], entry["aliases"]) == ("damaged", "Harbour [bold]", ["candidate"])
    (directory / "pack.json").unlink()
    assert listed(run)[pack.id]["where"] == "missing"


def test_a_pack_for_other_weights_is_not_promoted(run: Run, tmp_path: Path) -> None:
    pack = make_pack(tmp_path / "foreign", base="f" * 64)
    run("add", str(pack.directory))
    assert "was made for mini with the id ffffffffffff, and" in said(run("promote", pack.id, *OVERRIDE), 78)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["promote", "abcdef", "--without-sign-off", "  "], 2, "give the reason"),
        (["promote", "abcdef", "--without-sign-off", "x" * 201], 2, "at most 200"),
        (["promote", "abcdef", "--to", "previous"], 2, "--to"),
        (["promote", "abc"], 78, "Give a pack's id, or at least its first 6 digits"),
        (["promote", "abcdef"], 78, "No pack has an id that begins with abcdef"),
        (["rollback"], 78, "There is no previous pack to go back to"),
        (["add", "/nowhere"], 78, "There is no brand pack in /nowhere"),
        (["build", "--lora", "x", "--name", "y"], 2, "--out"),
    ],
)
def test_an_error_is_one_sentence(run: Run, arguments: list[str], code: int, sentence: str) -> None:
    assert sentence in said(run(*arguments), code)


def test_without_a_database_the_command_says_what_to_start(run: Run) -> None:
    assert "Start `onbrand up`" in said(run("list", DATABASE_URL=""), 1)
