"""The instance identity document, signed by the deployment, by which an instance can prove to others what it is.

Whoever is shown a document verifies it against the deployment's certificate (``certificate_pem``), as with EC2's::

    curl -s http://169.254.169.254/latest/dynamic/instance-identity/document > document
    curl -s http://169.254.169.254/latest/dynamic/instance-identity/signature | base64 -d > signature
    openssl x509 -in certificate.pem -noout -pubkey > key.pem
    openssl dgst -sha256 -verify key.pem -signature signature document

    (echo -----BEGIN PKCS7-----
     curl -s http://169.254.169.254/latest/dynamic/instance-identity/rsa2048
     echo; echo -----END PKCS7-----) |
        openssl smime -verify -inform PEM -certfile certificate.pem -noverify

``pkcs7`` is EC2's older form of the latter, signed with DSA and SHA-1 there. Here it is the same as ``rsa2048``: an
RSA-2048 signature with SHA-256; the commands that verify it are the same.
"""

import base64
import json
import os
import tempfile
import textwrap
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs7,
)
from cryptography.x509.oid import NameOID

from engine.metadata.facts import Facts

_LAST_DAY = datetime(2199, 12, 31, tzinfo=UTC)
"""Documents have no date at which they cease to be true; EC2's certificates, too, are valid until the 2190s."""


class Identity:
    """The deployment's key and certificate. All hosts of a deployment must have the same."""

    def __init__(self, pem: bytes) -> None:
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("cannot sign identity documents: the key is not an RSA key")
        self._key = key
        self._certificate = x509.load_pem_x509_certificate(pem)
        # A guest may ask as often as it likes, and a document changes only when its instance does.
        self._sign = lru_cache(1024)(self._signature)
        self._wrap = lru_cache(1024)(self._pkcs7)

    @property
    def certificate(self) -> str:
        """The certificate that documents are verified with, as PEM."""
        return self._certificate.public_bytes(Encoding.PEM).decode()

    def papers(self, facts: Facts) -> dict[str, str | Callable[[], str]]:
        """Return the document of an instance and, to be called, the signatures of it."""
        text = document(facts)
        wrapped = partial(self._wrap, text)
        return {"document": text, "pkcs7": wrapped, "rsa2048": wrapped, "signature": partial(self._sign, text)}

    def _signature(self, text: str) -> str:
        return _lines(self._key.sign(text.encode(), padding.PKCS1v15(), SHA256()), 76)

    def _pkcs7(self, text: str) -> str:
        """Without attributes, since one would be the time of signing: the same document has always the same bytes."""
        options = (pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoAttributes, pkcs7.PKCS7Options.NoCerts)
        builder = pkcs7.PKCS7SignatureBuilder().set_data(text.encode())
        builder = builder.add_signer(self._certificate, self._key, SHA256())
        return _lines(builder.sign(Encoding.DER, list(options)), 64)


def document(facts: Facts) -> str:
    """Return the identity document, to the byte as EC2 lays it out ("Instance identity documents", 2017-09-30)."""
    content = {
        "accountId": facts.account,
        "architecture": facts.architecture,
        "availabilityZone": facts.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": facts.image_id,
        "instanceId": facts.id,
        "instanceType": facts.instance_type,
        "kernelId": None,
        "pendingTime": facts.launch_time[:19] + "Z",
        "privateIp": facts.private_ip,
        "ramdiskId": None,
        "region": facts.region,
        "version": "2017-09-30",
    }
    return json.dumps(content, indent=2, separators=(",", " : "))


def open_identity(directory: Path) -> Identity:
    """Return the identity that is kept in a directory; at the first use it is made, for its owner's eyes only."""
    file = directory / "identity.pem"
    if not file.exists():
        _put(file, _new_identity())
    return Identity(file.read_bytes())


def certificate_pem(directory: Path) -> str:
    """Return, as PEM, the certificate by which anybody can verify documents and signatures of this deployment."""
    return open_identity(directory).certificate


def _put(file: Path, content: bytes) -> None:
    """Write a file all at once, and only if there is none: another process may be doing the same."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=file.parent)
    try:
        with open(descriptor, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(name, file)
    finally:
        os.unlink(name)


def _new_identity() -> bytes:
    key = generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Groundfog instance identity")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(_LAST_DAY)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + certificate.public_bytes(Encoding.PEM)


def _lines(content: bytes, width: int) -> str:
    """Return base64 in lines, as programs expect it that put BEGIN and END around."""
    return "\n".join(textwrap.wrap(base64.b64encode(content).decode(), width))
