"""The RSA key of the local sign-in: made once, and stored in one file that only its owner can read."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from onbrand.errors import ConfigError

KEY_PATH = Path("sign-in") / "signing-key.pem"  # in the data directory


def load_or_create_key(path: Path) -> rsa.RSAPrivateKey:
    """The key in `path`. The first call makes it; two processes that start at the same time get the same key.

    Raises:
        ConfigError: the file contains no RSA key.
    """
    if not path.exists():
        _create(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ConfigError(f"the local sign-in's key in {path} is damaged; delete the file to make a new one")
    return key


def key_id(key: rsa.RSAPublicKey) -> str:
    """The key's id, a hash of the key."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.urlsafe_b64encode(hashlib.sha256(encoded).digest()[:20]).rstrip(b"=").decode()


def _create(path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        # A link never replaces a key that another process has just made and already signs with. A rename would.
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
