"""Key material: pairs made in the forms that AWS hands out, public keys read in the forms that it takes."""

import base64
import hashlib
import hmac
import struct
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_ssh_public_key,
)

_MADE_BITS = 2048
# EC2's guide names 1024, 2048 and 4096; 3072 is what ssh-keygen makes unless it is told otherwise.
_RSA_BITS = (1024, 2048, 3072, 4096)
_RFC4716_BEGIN = b"---- BEGIN SSH2 PUBLIC KEY ----"
_RFC4716_END = b"---- END SSH2 PUBLIC KEY ----"


@dataclass(frozen=True)
class PublicKey:
    """``text`` is the OpenSSH form without a comment; ``fingerprint`` is as AWS shows it for an imported key."""

    type: str
    text: str
    fingerprint: str


@dataclass(frozen=True)
class PrivateKey:
    """``text`` is the whole file; ``public.fingerprint`` is as AWS shows it for a key that it made."""

    public: PublicKey
    text: str


def make(type: str, format: str, comment: str) -> PrivateKey:
    """Make a pair: ``rsa`` or ``ed25519``, as ``pem`` (PKCS#1 or OpenSSH) or ``ppk`` (PuTTY, version 2)."""
    if type == "rsa":
        return _make_rsa(format, comment)
    key = Ed25519PrivateKey.generate()
    public = _public(key.public_key())
    if format == "ppk":
        seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return PrivateKey(public, _ppk(public, comment, _string(seed)))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return PrivateKey(public, pem.decode())


def _make_rsa(format: str, comment: str) -> PrivateKey:
    key = generate_private_key(65537, _MADE_BITS)
    # AWS: "openssl pkcs8 -in key -inform PEM -outform DER -topk8 -nocrypt | openssl sha1 -c".
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    fingerprint = hashlib.sha1(der, usedforsecurity=False).hexdigest()
    public = PublicKey("rsa", _openssh(key.public_key()), _colons(fingerprint))
    if format == "ppk":
        return PrivateKey(public, _ppk(public, comment, _rsa_numbers(key)))
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return PrivateKey(public, pem.decode())


def read_public(material: bytes) -> PublicKey:
    """Read an OpenSSH, RFC 4716 or base64 DER public key. Raise ValueError for what EC2 would not import."""
    try:
        return _public(_loaded(material.strip()))
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None


def _loaded(material: bytes) -> object:
    if material.startswith(_RFC4716_BEGIN):
        blob = _rfc4716(material)
        (length,) = struct.unpack_from(">I", blob.ljust(4, b"\xff"))
        return load_ssh_public_key(blob[4 : 4 + length] + b" " + base64.b64encode(blob))
    if material.startswith(b"ssh-"):
        if b"\n" in material or b"\r" in material:
            raise ValueError("cannot import more than one key")
        return load_ssh_public_key(material)
    return load_der_public_key(base64.b64decode(b"".join(material.split()), validate=True))


def _rfc4716(material: bytes) -> bytes:
    """Return the key of a file as RFC 4716 describes it: headers, which a backslash continues, then base64."""
    first, *lines, last = material.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if (first, last) != (_RFC4716_BEGIN, _RFC4716_END):
        raise ValueError("cannot find the end of the key")
    body, in_header = [], False
    for line in lines:
        if in_header or b":" in line:
            in_header = line.endswith(b"\\")
        else:
            body.append(line)
    return base64.b64decode(b"".join(body), validate=True)


def _public(key: object) -> PublicKey:
    if isinstance(key, Ed25519PublicKey):
        text = _openssh(key)
        # As OpenSSH's, but padded, and without "SHA256:" before it.
        return PublicKey("ed25519", text, base64.b64encode(hashlib.sha256(_blob(text)).digest()).decode())
    if isinstance(key, RSAPublicKey) and key.key_size in _RSA_BITS:
        # AWS: "openssl rsa -in key -pubout -outform DER | openssl md5 -c".
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey("rsa", _openssh(key), _colons(hashlib.md5(der, usedforsecurity=False).hexdigest()))
    raise ValueError("cannot import a key of this type or length")


def _openssh(key: RSAPublicKey | Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _blob(openssh: str) -> bytes:
    return base64.b64decode(openssh.split()[1])


def _colons(digest: str) -> str:
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def _ppk(public: PublicKey, comment: str, private: bytes) -> str:
    """Return PuTTY's file, unencrypted, in version 2, which every PuTTY reads (PuTTY's manual, appendix C)."""
    name, blob = public.text.split()[0], _blob(public.text)
    parts = (name.encode(), b"none", comment.encode(), blob, private)
    key = hashlib.sha1(b"putty-private-key-file-mac-key", usedforsecurity=False).digest()
    mac = hmac.new(key, b"".join(_string(part) for part in parts), "sha1").hexdigest()
    lines = [
        f"PuTTY-User-Key-File-2: {name}",
        "Encryption: none",
        f"Comment: {comment}",
        *_base64_lines("Public-Lines", blob),
        *_base64_lines("Private-Lines", private),
        f"Private-MAC: {mac}",
    ]
    return "\n".join(lines) + "\n"


def _base64_lines(name: str, data: bytes) -> list[str]:
    text = base64.b64encode(data).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return [f"{name}: {len(lines)}", *lines]


def _rsa_numbers(key: RSAPrivateKey) -> bytes:
    numbers = key.private_numbers()
    return b"".join(_mpint(n) for n in (numbers.d, numbers.p, numbers.q, numbers.iqmp))


def _mpint(number: int) -> bytes:
    # RFC 4251: a leading zero byte keeps the number positive.
    return _string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
