"""A certificate authority of the tests, and certificates for `localhost` and 127.0.0.1."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _issue(name: str, issuer: str, signer: ec.EllipticCurvePrivateKey | None, *, days: int = 2):
    """Return a certificate and its key; without a signer it is that of an authority."""
    own = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    signing = x509.KeyUsage(not signer, False, False, False, False, not signer, not signer, False, False)
    built = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=3))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=not signer, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key((signer or own).public_key()), critical=False)
    )
    if signer:
        built = built.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    else:
        built = built.add_extension(signing, critical=True)
    return built.sign(signer or own, hashes.SHA256()), own


@functools.cache
def authority() -> tuple[bytes, ec.EllipticCurvePrivateKey]:
    """Return the authority's certificate, as PEM, and its key."""
    certificate, own = _issue("Osiris tests CA", "Osiris tests CA", None)
    return certificate.public_bytes(serialization.Encoding.PEM), own


def write_authority(folder: Path) -> Path:
    """Write the authority's certificate into a folder; return the file that clients trust."""
    path = folder / "ca.pem"
    path.write_bytes(authority()[0])
    return path


def server_context(*, expired: bool = False) -> ssl.SSLContext:
    """Return the context of a server with a certificate of the authority, for `localhost` and 127.0.0.1."""
    certificate, own = _issue("localhost", "Osiris tests CA", authority()[1], days=-1 if expired else 2)
    secret = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as chain:
        chain.write(certificate.public_bytes(serialization.Encoding.PEM) + secret)
        chain.flush()
        context.load_cert_chain(chain.name)
    return context
