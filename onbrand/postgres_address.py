"""What a PostgreSQL address says, as libpq itself reads it: where the server is, and whether its name is proven.

Nothing is connected here. libpq's own parser is asked, because another one could read an address differently: in
libpq's, `ssl=true` after `sslmode=verify-full` means `require`.
"""

from __future__ import annotations

import os
import ssl
from ipaddress import ip_address
from pathlib import Path

# Where distributions keep the certificates of the authorities that they trust, if Python doesn't say.
_KNOWN_ROOTS = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


def given(url: str) -> dict[str, str]:
    """The parameters in the address itself.

    Raises:
        ValueError: the text is not a PostgreSQL address.
    """
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except ProgrammingError:  # its message repeats the address with the password
        raise ValueError("not a PostgreSQL address") from None


def parameters(url: str) -> dict[str, str]:
    """The parameters of a connection: those in the address, and else those of libpq's own variables (`PGSSLMODE`).

    Raises:
        ValueError: the text is not a PostgreSQL address.
    """
    from psycopg.pq import Conninfo

    defaults = {one.keyword.decode(): one.val.decode() for one in Conninfo.get_defaults() if one.val is not None}
    return defaults | given(url)


def is_on_this_machine(there: dict[str, str]) -> bool:
    """Whether every server that these parameters name is reached by a Unix socket or a loopback address."""
    if "service" in there:  # a file that isn't read here says where the server is
        return False
    hosts = (there.get("hostaddr") or there.get("host") or "").split(",")
    return all(_is_local(host.strip()) for host in hosts)


def _is_local(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):  # without a name libpq takes its socket
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_verified(there: dict[str, str]) -> bool:
    """Whether the server must show a certificate for its own name, from an authority that is trusted."""
    return there.get("sslmode") == "verify-full"


def roots_to_name(there: dict[str, str]) -> str | None:
    """The file of trusted authorities that must be named to libpq; None if the parameters need or have one.

    libpq looks in the home directory only. `sslrootcert=system` doesn't help: psycopg's wheels carry an OpenSSL of
    their own, which looks in a folder that no system has (`/usr/lib/psycopg-openssl`).
    """
    chosen = there.get("sslrootcert")
    if there.get("sslmode") not in ("verify-ca", "verify-full") or chosen not in (None, "", "system"):
        return None
    if chosen != "system" and os.path.exists(os.path.expanduser("~/.postgresql/root.crt")):
        return None
    # Python's answer follows the variable SSL_CERT_FILE.
    candidates = (ssl.get_default_verify_paths().cafile, *_KNOWN_ROOTS)
    return next((path for path in candidates if path is not None and Path(path).is_file()), None)
