"""`onbrand pack …` as an operator uses it: what it prints, and what it leaves behind."""

from __future__ import annotations

import getpass
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psycopg
import pytest

from onbrand.packs.manifest import BrandPack, document_of
from onbrand.packs.promotion import Verdict
from tests.packs import MINI, MODULE, SAMPLE, lora_bytes, make_pack, sign_pack
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
    assert said(run("verify")).splitlines() == [
        f"{SAMPLE.id[:12]} is undamaged: its LoRA adapts {len(SAMPLE.manifest.lora.adapted_modules)} modules, and fits"
        " the base",
        f"{pack.id[:12]} is undamaged: its LoRA adapts 1 module, and leaves out 1 of the same kinds"
        f" ({MODULE.replace('blocks.0', 'blocks.1')}), and fits the base",
    ]
    refused = said(run("promote", pack.id[:6]), 1)
    assert refused.startswith(f"onbrand: No designer has approved the pack {pack.id[:12]}")
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


NAN = b"\0\0\xc0\x7f"
UNUSABLE = {
    "NaN": (lora_bytes(fill=NAN), "a number that is not finite"),
    "zeros": (lora_bytes(fill=bytes(4)), f"The LoRA does not change {MODULE}"),
    "pickle": (b"\x80\x04" + bytes(100), r"lora.safetensors is a pickle"),
    "another module": (lora_bytes(MODULE.replace("to_q", "to_k")), "which the pack's manifest does not name"),
    "another rank": (lora_bytes(rank=2), "has rank 2, but the pack's manifest says 4"),
    "cut short": (lora_bytes()[:-1], "is cut short or damaged"),
}


@pytest.mark.parametrize("how", UNUSABLE)
def test_a_pack_whose_lora_cannot_be_used_is_not_added_and_not_promoted(run: Run, tmp_path: Path, how: str) -> None:
    """All checksums are right."""
    lora, sentence = UNUSABLE[how]
    pack = make_pack(tmp_path / "pack", lora=lora)
    assert sentence in said(run("verify", str(pack.directory)), 1)
    assert sentence in said(run("add", str(pack.directory)), 78)
    assert list(listed(run)) == [SAMPLE.id]
    shutil.copytree(
        pack.directory, tmp_path / "data" / "images" / "packs" / pack.id
    )  # as an older version has added it
    stored = tmp_path / "data" / "images" / "packs" / pack.id / "pack.json"
    stored.write_bytes(document_of(pack.manifest))
    assert sentence in said(run("verify", pack.id), 1)
    assert sentence in said(run("promote", pack.id, *OVERRIDE), 78)
    assert listed(run)[SAMPLE.id]["aliases"] == ["production"]


@pytest.mark.parametrize(
    ("module", "sentence"), [(MODULE, "the base has"), ("a.b", "a.b, which the base does not have")]
)
def test_a_pack_is_compared_with_the_base_where_that_is_at_hand(
    run: Run, tmp_path: Path, module: str, sentence: str
) -> None:
    other = "double_stream_blocks.0.block.ff_i.w1"  # has another shape
    assert MINI.shapes("transformer")[f"{other}.weight"] != MINI.shapes("transformer")[f"{MODULE}.weight"]
    named = other if module == MODULE else module
    pack = make_pack(tmp_path / "pack", lora=lora_bytes(named), module=named)
    assert sentence in said(run("add", str(pack.directory)), 78)
    elsewhere = run("verify", str(pack.directory), MODEL_PATH=str(tmp_path / "nowhere"))
    assert said(elsewhere).endswith("(not compared with its base, which is not here)\n")


def test_a_folder_can_be_verified_before_it_is_added(run: Run, pack: BrandPack) -> None:
    assert said(run("verify", str(pack.directory), DATABASE_URL="")).startswith(f"{pack.id[:12]} is undamaged: ")
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


def test_a_pack_that_workers_refuse_is_listed_with_the_reason(run: Run, pack: BrandPack, database_url: str) -> None:
    run("add", str(pack.directory))
    run("promote", pack.id, *OVERRIDE)
    assert {one["refused_by"] for one in listed(run).values()} == {0}
    because = f"{'The LoRA is empty ' * 12}[now]: copy it again."
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into worker (id, state, pack_id, pack_name, pack_version, refused_pack_id, refused_because)"
            " values ('one', 'ready', %s, 'Sample', '1', %s, %s)",
            [SAMPLE.id, pack.id, because],
        )
    assert (listed(run)[pack.id]["refused_by"], listed(run)[pack.id]["refused_because"]) == (1, because)
    last = said(run("list")).splitlines()[-1]
    assert last == f"A worker can't use {pack.id[:12]} and draws on with the pack before: {because}"


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
