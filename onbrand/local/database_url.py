"""Where a command finds the database: at the configured address, or at the embedded server beside which it runs.

Commands that run in production (`onbrand clean`, `stats`, `pack`, `doctor`) use it too. There the settings name the
address, and nothing else of this room is used.
"""

from __future__ import annotations

from pathlib import Path

from onbrand.config import Settings
from onbrand.database.address import Address, configured
from onbrand.errors import DatabaseNotReady, DataDirUnwritable
from onbrand.local.cluster import read_password
from onbrand.local.server_process import address, is_server_of


def url_for_command(settings: Settings) -> Address:
    """The configured address; without one, the address of the embedded server.

    Raises:
        DatabaseNotReady: no address is configured, and the embedded server does not run.
        DataDirUnwritable, DatabaseServerFailed: as for `running_url`.
    """
    address = configured(settings) or running_url(settings.data_dir)
    if address is None:
        raise DatabaseNotReady("The embedded PostgreSQL isn't running. Start `onbrand up`, then run this beside it.")
    return address


def running_url(data_dir: Path) -> str | None:
    """The address of the embedded server that another process runs on this data directory; None if none runs.

    Raises:
        DataDirUnwritable: the server's files belong to another user.
        DatabaseServerFailed: the file with the server's password is missing.
    """
    path = data_dir.resolve() / "postgres"
    try:
        lines = path.joinpath("postmaster.pid").read_text(errors="replace").split("\n")
        if len(lines) < 4 or not is_server_of(int(lines[0]), path):
            return None
        return address(read_password(path), int(lines[3]))  # miscadmin.h, LOCK_FILE_LINE_PORT
    except PermissionError:
        raise DataDirUnwritable(
            f"The embedded database in {data_dir} belongs to another user. Run this command as that user."
        ) from None
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no server, or a server that has just begun to start
        return None
