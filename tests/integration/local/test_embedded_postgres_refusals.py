"""The embedded PostgreSQL where something is wrong: a folder, a user, a password, a port. Each is one sentence."""

from __future__ import annotations

import os
import pwd
import socket
import sys
from pathlib import Path

import pytest

from onbrand.errors import DatabaseServerFailed, DataDirUnwritable
from onbrand.local import cluster as cluster_module
from onbrand.local.cluster import open_cluster
from onbrand.local.postgres import EmbeddedPostgres
from onbrand.local.privileges import Identity, first_usable, for_new_cluster
from tests.integration.local.supervisor import (
    DEEPEST_NAMESPACE,
    IS_ROOT,
    NAMESPACES,
    assert_refused_as_root,
    changed,
    run_supervisor,
    server_pids,
    write_row,
)


def test_a_file_in_the_way_of_the_empty_directory_is_said(empty_dir: Path) -> None:
    (empty_dir / "file").write_text("")
    with pytest.raises(DataDirUnwritable, match=r"can't write to .*ONBRAND_DATA_DIR"):
        EmbeddedPostgres(empty_dir / "file" / "data").start()


def test_a_folder_this_user_may_not_write_is_said(empty_dir: Path) -> None:
    (empty_dir / "readonly").mkdir(mode=0o555)
    identity, _ = first_usable(
        for_new_cluster(), [sys.executable, "--version"], empty_dir
    )  # not root: it may write all
    code, output = run_supervisor(empty_dir / "readonly" / "data", identity=identity)
    assert code == 1
    assert output.startswith("DataDirUnwritable: Onbrand can't write to")


def test_below_a_private_folder_the_server_runs_and_no_permission_changes(empty_dir: Path) -> None:
    private = empty_dir / "private"
    private.mkdir(mode=0o700)
    code, output = run_supervisor(private / "data")
    if IS_ROOT and not NAMESPACES:
        assert_refused_as_root(code, output)
        return
    assert code == 0, output
    assert (private / "data" / "postgres").stat().st_uid == os.geteuid()  # root under another name, or a normal user
    assert private.stat().st_mode & 0o777 == 0o700
    assert run_supervisor(private / "data")[0] == 0


def test_in_an_open_folder_root_hands_the_server_to_nobody(empty_dir: Path) -> None:
    """A normal user, and a root whose programs only root can reach, keep it."""
    with EmbeddedPostgres(empty_dir) as server:
        write_row(server)
    program = open_cluster(empty_dir).server
    may_enter = all(parent.stat().st_mode & 0o001 for parent in (*program.parents, *empty_dir.parents))
    owner = pwd.getpwnam("nobody").pw_uid if IS_ROOT and may_enter else os.geteuid()
    assert (empty_dir / "postgres").stat().st_uid == owner


def test_a_root_that_can_become_nobody_else_gets_a_sentence(empty_dir: Path) -> None:
    """A normal user is never asked to become anybody."""
    if not IS_ROOT:
        assert for_new_cluster() == [Identity("self")]
        return
    (empty_dir / "private").mkdir(mode=0o700)
    assert_refused_as_root(*run_supervisor(empty_dir / "private" / "data", first=DEEPEST_NAMESPACE))


def test_a_directory_of_another_major_version_is_refused(data_dir: Path) -> None:
    with (
        changed(data_dir / "postgres" / "PG_VERSION", "16\n"),
        pytest.raises(DatabaseServerFailed, match=r"made by PostgreSQL 16, .* brings PostgreSQL 18"),
    ):
        EmbeddedPostgres(data_dir).start()


def test_the_end_of_the_log_is_in_the_error(data_dir: Path) -> None:
    with (
        changed(data_dir / "postgres" / "postgresql.conf", "nonsense_setting = 1\n"),
        pytest.raises(DatabaseServerFailed, match="nonsense_setting"),
    ):
        EmbeddedPostgres(data_dir).start()


def test_a_changed_or_lost_password_is_said(data_dir: Path) -> None:
    password_file = data_dir / "postgres.password"
    with changed(password_file, "another"):
        with pytest.raises(DatabaseServerFailed, match="isn't the database's"):
            EmbeddedPostgres(data_dir).start()
        password_file.unlink()
        with pytest.raises(DatabaseServerFailed, match="is missing"):
            EmbeddedPostgres(data_dir).start()


def test_a_given_port_that_is_taken_is_said_and_the_directory_let_go(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedPostgres(data_dir, port=taken.getsockname()[1])
        with pytest.raises(DatabaseServerFailed, match=r"Another program listens on port \d+"):
            server.start()
    with EmbeddedPostgres(data_dir, port=server.port) as other:
        assert f":{server.port}/" in other.url
        assert server_pids(other.url)


def test_a_missing_wheel_says_what_to_install(empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "_WHEEL", "a_wheel_that_nobody_installed")
    with pytest.raises(DatabaseServerFailed, match=r"pip install 'onbrand\[local\]'.*ONBRAND_DATABASE_URL"):
        EmbeddedPostgres(empty_dir).start()
