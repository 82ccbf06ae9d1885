"""Key pairs through a real client, their fingerprints checked by the tools that AWS names."""

import base64
import hashlib
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from tests.cloud import Cloud

RSA_KEY = rsa.generate_private_key(65537, 2048)
ED25519_KEY = Ed25519PrivateKey.generate()


def tool(*command: str, data: bytes | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def openssh(key: Any, comment: str = "") -> bytes:
    text: bytes = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return text + f" {comment}".encode() if comment else text


def der(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return data


def colons(digest: str) -> str:
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def described(ec2: Any, **parameters: Any) -> Any:
    (found,) = ec2.describe_key_pairs(**parameters)["KeyPairs"]
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.touch(0o600)
    return file


def test_a_made_rsa_key_is_pkcs1_with_the_digest_of_its_private_half(ec2: Any, file: Path) -> None:
    made = ec2.create_key_pair(KeyName="one")
    assert made["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    key = load_pem_private_key(made["KeyMaterial"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey) and key.key_size == 2048
    file.write_text(made["KeyMaterial"])
    pkcs8 = tool("openssl", "pkcs8", "-in", str(file), "-inform", "PEM", "-outform", "DER", "-topk8", "-nocrypt")
    assert made["KeyFingerprint"] == colons(hashlib.sha1(pkcs8).hexdigest())
    assert re.fullmatch(r"key-[0-9a-f]{17}", made["KeyPairId"]) and made["KeyName"] == "one"


def test_a_made_ed25519_key_is_openssh_with_opensshs_fingerprint(ec2: Any, file: Path) -> None:
    made = ec2.create_key_pair(KeyName="one", KeyType="ed25519", KeyFormat="pem")
    assert made["KeyMaterial"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    assert isinstance(load_ssh_private_key(made["KeyMaterial"].encode(), None), Ed25519PrivateKey)
    file.write_text(made["KeyMaterial"])
    shown = tool("ssh-keygen", "-l", "-f", str(file)).split()[1].decode()
    assert "SHA256:" + made["KeyFingerprint"].rstrip("=") == shown and len(made["KeyFingerprint"]) == 44


@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_the_public_key_is_that_of_the_private_one(ec2: Any, type: str, file: Path) -> None:
    made = ec2.create_key_pair(KeyName="my key", KeyType=type)
    file.write_text(made["KeyMaterial"])
    kind, blob = tool("ssh-keygen", "-y", "-f", str(file)).decode().split()[:2]
    assert described(ec2, KeyNames=["my key"], IncludePublicKey=True)["PublicKey"] == f"{kind} {blob} my key"
    assert "PublicKey" not in described(ec2, KeyNames=["my key"])


@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_a_ppk_has_the_lines_and_the_mac_that_putty_wants(ec2: Any, type: str) -> None:
    text = ec2.create_key_pair(KeyName="one", KeyType=type, KeyFormat="ppk")["KeyMaterial"]
    lines = iter(text.splitlines())
    head = dict(next(lines).split(": ") for _ in range(3))
    blobs = []
    for name in ("Public-Lines", "Private-Lines"):
        found, count = next(lines).split(": ")
        assert found == name
        blobs.append(base64.b64decode("".join(next(lines) for _ in range(int(count)))))
    public = described(ec2, IncludePublicKey=True)["PublicKey"].split()
    assert head == {"PuTTY-User-Key-File-2": public[0], "Encryption": "none", "Comment": "one"}
    assert blobs[0] == base64.b64decode(public[1])
    name, mac = next(lines).split(": ")
    data = b"".join(len(d).to_bytes(4, "big") + d for d in (public[0].encode(), b"none", b"one", *blobs))
    key = hashlib.sha1(b"putty-private-key-file-mac-key").hexdigest()
    shown = tool("openssl", "dgst", "-sha1", "-mac", "HMAC", "-macopt", f"hexkey:{key}", data=data)
    assert (name, mac) == ("Private-MAC", shown.decode().split()[-1]) and next(lines, "") == ""


@pytest.mark.skipif(shutil.which("puttygen") is None, reason="needs puttygen")
@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_puttygen_reads_a_ppk(ec2: Any, type: str, file: Path) -> None:
    file.write_text(ec2.create_key_pair(KeyName="one", KeyType=type, KeyFormat="ppk")["KeyMaterial"])
    shown = tool("puttygen", str(file), "-L").decode().strip()
    assert shown == described(ec2, IncludePublicKey=True)["PublicKey"]


@pytest.mark.parametrize("form", ["openssh", "comment", "rfc4716", "der", "lines"])
@pytest.mark.parametrize("type", ["rsa", "ed25519"])
def test_a_public_key_is_imported_in_every_form_that_ec2_takes(ec2: Any, type: str, form: str, file: Path) -> None:
    key = RSA_KEY if type == "rsa" else ED25519_KEY
    file.write_bytes(openssh(key))
    material = {
        "openssh": openssh(key),
        "comment": openssh(key, "me@höme and more") + b"\n",
        "rfc4716": tool("ssh-keygen", "-e", "-f", str(file)),
        "der": base64.b64encode(der(key)),
        "lines": base64.encodebytes(der(key)).replace(b"\n", b"\r\n"),
    }[form]
    made = ec2.import_key_pair(KeyName="one", PublicKeyMaterial=material)
    shown = tool("ssh-keygen", "-l", "-f", str(file)).split()[1].decode()
    if type == "rsa":
        assert made["KeyFingerprint"] == colons(hashlib.md5(der(key)).hexdigest())
    else:
        assert "SHA256:" + made["KeyFingerprint"].rstrip("=") == shown
    found = described(ec2, KeyPairIds=[made["KeyPairId"]], IncludePublicKey=True)
    assert found["PublicKey"] == openssh(key, "one").decode()
    assert (found["KeyType"], found["KeyFingerprint"], found["KeyName"]) == (type, made["KeyFingerprint"], "one")


def test_an_imported_rsa_key_has_the_fingerprint_that_openssl_prints(ec2: Any, file: Path) -> None:
    file.write_bytes(RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    data = tool("openssl", "rsa", "-in", str(file), "-pubout", "-outform", "DER")
    printed = tool("openssl", "md5", "-c", data=data).decode().split()[-1]
    made = ec2.import_key_pair(KeyName="one", PublicKeyMaterial=openssh(RSA_KEY))
    assert made["KeyFingerprint"] == printed


def test_rfc4716_headers_may_go_on(ec2: Any) -> None:
    body = openssh(ED25519_KEY).split()[1].decode()
    lines = ["---- BEGIN SSH2 PUBLIC KEY ----", "Subject: me", 'Comment: "a \\', ' long one"', "x-own: 1", body[:40]]
    text = "\r\n".join([*lines, body[40:], "---- END SSH2 PUBLIC KEY ----", ""])
    ec2.import_key_pair(KeyName="one", PublicKeyMaterial=text.encode())
    assert described(ec2, IncludePublicKey=True)["PublicKey"] == openssh(ED25519_KEY, "one").decode()


def test_what_is_no_key_that_ec2_takes_is_refused(ec2: Any, refused: Any) -> None:
    good = openssh(ED25519_KEY)
    private = ED25519_KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    for material in (
        b"x", b"ssh-rsa", b"ssh-rsa AAAA", good[:-9], good + b"\n" + good, b"\xff\xfe", private, base64.b64encode(good),
        openssh(ec.generate_private_key(ec.SECP256R1())), openssh(rsa.generate_private_key(65537, 1536)),
        base64.b64encode(der(dsa.generate_private_key(1024))), b"restrict " + good, base64.b64encode(b"0" * 100),
        b"ssh-ed448 AAAA", b"---- BEGIN SSH2 PUBLIC KEY ----\nAA\nBB",
        b"---- BEGIN SSH2 PUBLIC KEY ----", b"---- BEGIN SSH2 PUBLIC KEY ----\nAA\n---- END SSH2 PUBLIC KEY ----",
    ):  # fmt: skip
        with refused("InvalidKey.Format", "Key is not in valid OpenSSH public key format"):
            ec2.import_key_pair(KeyName="one", PublicKeyMaterial=material)
    assert ec2.describe_key_pairs()["KeyPairs"] == []


@pytest.mark.parametrize("bits", [1024, 2048, 3072, 4096])
def test_rsa_keys_of_these_lengths_are_imported(ec2: Any, bits: int) -> None:
    # Nobody looks for the primes of a public key, and to find some takes seconds.
    public = rsa.RSAPublicNumbers(65537, 2**bits - 1).public_key()
    material = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    assert ec2.import_key_pair(KeyName="one", PublicKeyMaterial=material)["KeyPairId"]


def test_a_name_is_taken_once(ec2: Any, refused: Any) -> None:
    first = ec2.import_key_pair(KeyName="one", PublicKeyMaterial=openssh(ED25519_KEY))
    ec2.import_key_pair(KeyName="ONE", PublicKeyMaterial=openssh(ED25519_KEY))
    with refused("InvalidKeyPair.Duplicate", "The keypair 'one' already exists."):
        ec2.import_key_pair(KeyName="one", PublicKeyMaterial=openssh(RSA_KEY))
    with refused("InvalidKeyPair.Duplicate"):
        ec2.create_key_pair(KeyName="one")
    assert described(ec2, KeyNames=["one"])["KeyPairId"] == first["KeyPairId"]


def test_a_name_is_one_line_of_ascii(ec2: Any, refused: Any) -> None:
    for name in ("n" * 256, "schlüssel", "a\nssh-rsa AAAA", " a", "a ", "a\tb"):
        with refused("InvalidParameterValue"):
            ec2.create_key_pair(KeyName=name)
    for name in ("", None):
        with refused("MissingParameter", "KeyName"):
            ec2.create_key_pair(**({} if name is None else {"KeyName": name}))
    name = "".join(chr(code) for code in range(33, 127)) + " x" * 80
    ec2.create_key_pair(KeyName=name, KeyType="ed25519")
    assert described(ec2, KeyNames=[name])["KeyName"] == name


def test_a_type_or_format_that_is_none_is_refused(ec2: Any, refused: Any) -> None:
    for wrong in ({"KeyType": "dsa"}, {"KeyFormat": "jwk"}):
        with refused("InvalidParameterValue"):
            ec2.create_key_pair(KeyName="one", **wrong)
    with refused("MissingParameter"):
        ec2.import_key_pair(KeyName="one")


def test_tags_are_put_at_creation(ec2: Any, refused: Any) -> None:
    tags = [{"Key": "team", "Value": "a"}]
    specification = [{"ResourceType": "key-pair", "Tags": tags}]
    made = ec2.create_key_pair(KeyName="one", KeyType="ed25519", TagSpecifications=specification)
    brought = ec2.import_key_pair(
        KeyName="two", PublicKeyMaterial=openssh(ED25519_KEY), TagSpecifications=specification
    )
    assert made["Tags"] == brought["Tags"] == described(ec2, KeyNames=["two"])["Tags"] == tags
    with refused("InvalidParameterValue"):
        wrong = [{"ResourceType": "instance", "Tags": tags}]
        ec2.create_key_pair(KeyName="three", KeyType="ed25519", TagSpecifications=wrong)
    assert len(ec2.describe_key_pairs()["KeyPairs"]) == 2


def test_key_pairs_are_found_by_name_id_and_filter(ec2: Any, refused: Any) -> None:
    ids = {
        name: ec2.import_key_pair(
            KeyName=name,
            PublicKeyMaterial=openssh(key),
            TagSpecifications=[{"ResourceType": "key-pair", "Tags": [{"Key": "k", "Value": name}]}],
        )["KeyPairId"]
        for name, key in (("one", RSA_KEY), ("two", ED25519_KEY))
    }
    one = described(ec2, KeyNames=["one"])
    assert abs(one["CreateTime"] - datetime.now(UTC)) < timedelta(minutes=5)
    assert len(ec2.describe_key_pairs(KeyNames=["one"], KeyPairIds=[ids["two"]])["KeyPairs"]) == 2
    for name, value in (("fingerprint", one["KeyFingerprint"]), ("key-name", "on?"), ("key-pair-id", ids["one"]),
                        ("tag:k", "one")):  # fmt: skip
        assert described(ec2, Filters=[{"Name": name, "Values": [value]}]) == one
    with refused("InvalidKeyPair.NotFound", "The key pair 'three' does not exist"):
        ec2.describe_key_pairs(KeyNames=["one", "three"])
    for id in ("key-00000000000000000", "three"):
        with refused("InvalidKeyPair.NotFound", f"'{id}' does not exist"):
            ec2.describe_key_pairs(KeyPairIds=[id])


def test_a_key_pair_is_deleted_by_name_or_id_and_once_more(ec2: Any, refused: Any) -> None:
    for how in ("KeyName", "KeyPairId"):
        tags = [{"ResourceType": "key-pair", "Tags": [{"Key": "k", "Value": "v"}]}]
        made = ec2.import_key_pair(
            KeyName="one", PublicKeyMaterial=openssh(ED25519_KEY), TagSpecifications=tags
        )  # fmt: skip
        answer = ec2.delete_key_pair(**{how: made[how]})
        assert (answer["Return"], answer["KeyPairId"]) == (True, made["KeyPairId"])
        answer = ec2.delete_key_pair(**{how: made[how]})
        assert answer["Return"] is True and "KeyPairId" not in answer
    assert ec2.describe_key_pairs()["KeyPairs"] == [] and ec2.describe_tags()["Tags"] == []
    with refused("MissingParameter"):
        ec2.delete_key_pair()
    with refused("InvalidParameterCombination"):
        ec2.delete_key_pair(KeyName="one", KeyPairId="key-00000000000000000")


def test_another_accounts_key_pair_is_its_own(cloud: Cloud, ec2: Any, refused: Any) -> None:
    mine = ec2.import_key_pair(KeyName="one", PublicKeyMaterial=openssh(RSA_KEY))
    other = cloud.another_account()
    with refused("InvalidKeyPair.NotFound"):
        other.describe_key_pairs(KeyPairIds=[mine["KeyPairId"]])
    with refused("InvalidKeyPair.NotFound"):
        other.describe_key_pairs(KeyNames=["one"])
    theirs = other.import_key_pair(KeyName="one", PublicKeyMaterial=openssh(ED25519_KEY))
    assert described(other)["KeyPairId"] == theirs["KeyPairId"]
    other.delete_key_pair(KeyPairId=mine["KeyPairId"])
    assert described(ec2)["KeyPairId"] == mine["KeyPairId"]


def test_a_dry_run_makes_and_deletes_nothing(ec2: Any, refused: Any) -> None:
    ec2.import_key_pair(KeyName="one", PublicKeyMaterial=openssh(ED25519_KEY))
    with refused("DryRunOperation"):
        ec2.create_key_pair(KeyName="two", DryRun=True)
    with refused("DryRunOperation"):
        ec2.import_key_pair(KeyName="two", PublicKeyMaterial=openssh(ED25519_KEY), DryRun=True)
    with refused("DryRunOperation"):
        ec2.delete_key_pair(KeyName="one", DryRun=True)
    assert described(ec2)["KeyName"] == "one"


def test_too_many_key_pairs_are_refused(ec2: Any, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translators.key_pairs._MOST_KEYS", 1)
    ec2.import_key_pair(KeyName="one", PublicKeyMaterial=openssh(ED25519_KEY))
    with refused("KeyPairLimitExceeded"):
        ec2.create_key_pair(KeyName="two")
