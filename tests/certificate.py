"""Certificates that no system trusts: one for localhost that vouches for itself, and an authority with its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.integration.identity.provider import new_rsa_key


def new_certificate() -> tuple[bytes, bytes]:
    """The certificate and its key, each as PEM; good for a day."""
    key, name = new_rsa_key(), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), pem_key


@dataclass(frozen=True)
class Authority:
    """An authority of a test, which vouches for servers by their names."""

    key: RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls) -> Authority:
        key, name = new_rsa_key(), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority")])
        builder = _good_for_a_day(x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number()))
        return cls(
            key, builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, _SHA)
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def certificate_for(self, host: str) -> tuple[bytes, bytes]:
        """A server's certificate and its key, each as PEM."""
        key, name = new_rsa_key(), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server")])
        builder = x509.CertificateBuilder(self.certificate.subject, name, key.public_key(), x509.random_serial_number())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        signed = _good_for_a_day(builder).add_extension(names, critical=False).sign(self.key, _SHA)
        pem_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return signed.public_bytes(Encoding.PEM), pem_key


_SHA = hashes.SHA256()


def _good_for_a_day(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
