"""Which user runs PostgreSQL's programs. They refuse to run as root.

If a normal user runs Onbrand, that user runs them. If root runs Onbrand, `nobody` runs them where that user can reach
all files. Otherwise, such as in a folder that only root may enter, they run in a user namespace where root's files
belong to a number that isn't root. No permission of a folder outside the database is changed, and no user is created.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onbrand.errors import DatabaseServerFailed, DataDirUnwritable

_LAUNCHER = Path(__file__).with_name("launcher.py")
_RUN_SECONDS = 300


@dataclass(frozen=True)
class Identity:
    """A way to run a program: as the current user (`self`), as another `user`, or in a user `namespace`."""

    how: Literal["self", "user", "namespace"]
    uid: int = 0  # unused for `self`
    gid: int = 0

    def command(self, program: Sequence[str], cwd: Path, on_parent_death: signal.Signals) -> list[str]:
        """The command that runs `program` (an absolute path, then its arguments) as this identity in `cwd`.

        The process keeps its pid throughout. On Linux the kernel sends it `on_parent_death` when the calling *thread*
        ends. So start programs that run long from the main thread.
        """
        death_signal = str(on_parent_death.value)
        identity = f"{self.how}:{self.uid}:{self.gid}"
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER)]
        return [*launcher, str(os.getpid()), death_signal, identity, str(cwd), *program]

    def run(self, program: Sequence[str], cwd: Path) -> tuple[int, str]:
        """Run `program` to its end, for at most five minutes. Returns its exit code and its output."""
        try:
            result = subprocess.run(
                self.command(program, cwd, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_RUN_SECONDS,
                start_new_session=True,  # so Ctrl-C reaches us alone, and we end the program
            )
        except subprocess.TimeoutExpired:
            return 1, f"{Path(program[0]).name} took longer than {_RUN_SECONDS} s"
        return result.returncode, result.stdout

    def give(self, path: Path) -> None:
        """Make this identity the owner of `path`, if it is not."""
        if self.how == "user":
            os.chown(path, self.uid, self.gid)


def for_new_cluster() -> list[Identity]:
    """The identities for a new database, best first. `first_usable` chooses among them."""
    if os.geteuid() != 0:
        return [Identity("self")]
    other = _harmless_user()
    return [Identity("user", *other), Identity("namespace", *other)]


def for_existing_cluster(cluster: Path) -> list[Identity]:
    """The one identity that can run the database in `cluster`: PostgreSQL requires the owner of the folder.

    Raises:
        DataDirUnwritable: this user cannot become the owner.
    """
    status = cluster.stat()
    if os.geteuid() == 0:
        if status.st_uid == 0:
            return [Identity("namespace", *_harmless_user())]
        return [Identity("user", status.st_uid, status.st_gid)]
    if status.st_uid != os.geteuid():
        raise DataDirUnwritable(
            f"The database in {cluster} belongs to another user (uid {status.st_uid}). Start Onbrand as that user, or"
            " set ONBRAND_DATA_DIR to another folder."
        )
    return [Identity("self")]


def first_usable(identities: Sequence[Identity], program: Sequence[str], folder: Path) -> tuple[Identity, str]:
    """The first identity that can enter `folder` and run `program`, found by trying; and the output of the program.

    Raises:
        DatabaseServerFailed: none can.
    """
    reasons = []
    for identity in identities:
        exit_code, output = identity.run(program, folder)
        if exit_code == 0:
            return identity, output
        reasons.append(output.strip() or f"exit code {exit_code}")
    if os.geteuid() != 0:
        raise DatabaseServerFailed(f"PostgreSQL's programs don't run here: {'; '.join(reasons)}.")
    raise DatabaseServerFailed(
        f"PostgreSQL refuses to run as root, and no other way to run it in {folder.parent} works here"
        f" ({'; '.join(reasons)}). Start Onbrand as a normal user, put it and ONBRAND_DATA_DIR where every user may"
        " enter, or set ONBRAND_DATABASE_URL to a PostgreSQL that is already running."
    )


def _harmless_user() -> tuple[int, int]:
    """`nobody`, or any other user but root. The user database must contain it, because initdb looks up its own name."""
    users = [user for user in pwd.getpwall() if user.pw_uid != 0]
    if not users:
        raise DatabaseServerFailed(
            "PostgreSQL refuses to run as root, and this machine has no other user. Set ONBRAND_DATABASE_URL to a"
            " PostgreSQL that is already running."
        )
    chosen = next((user for user in users if user.pw_name == "nobody"), users[0])
    return chosen.pw_uid, chosen.pw_gid
