"""Identity documents: what they say, and that those who are shown one can verify it."""

import base64
import json
import subprocess
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from engine.metadata.facts import Facts
from engine.metadata.identity import Identity, certificate_pem, document, open_identity

FACTS = Facts(
    id="i-1234567890abcdef0", account="123456789012", region="us-west-2", reservation_id="r-1", launch_index=0,
    image_id="ami-5fb8c835", instance_type="t2.micro", architecture="x86_64", root_device_name="/dev/xvda",
    launch_time="2016-11-19T16:32:11.123Z", zone="us-west-2b", private_ip="10.158.112.84", hostname_type="ip-name",
    key_name="", public_key="", user_data="", http_tokens="optional", http_endpoint="enabled", http_hop_limit=1,
    http_ipv6="disabled",
    metadata_tags="disabled", zone_id="usw2-az2", dns_hostnames=True, domain="", cards=(), devices=(), tags=(),
)  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data") / "identity"


@pytest.fixture(scope="module")
def identity(directory: Path) -> Identity:
    return open_identity(directory)


def paper(identity: Identity, name: str, facts: Facts = FACTS) -> str:
    found = identity.papers(facts)[name]
    return found() if callable(found) else found


def test_the_document_is_laid_out_as_in_ec2s_documentation() -> None:
    assert document(FACTS) == textwrap.dedent("""\
        {
          "accountId" : "123456789012",
          "architecture" : "x86_64",
          "availabilityZone" : "us-west-2b",
          "billingProducts" : null,
          "devpayProductCodes" : null,
          "marketplaceProductCodes" : null,
          "imageId" : "ami-5fb8c835",
          "instanceId" : "i-1234567890abcdef0",
          "instanceType" : "t2.micro",
          "kernelId" : null,
          "pendingTime" : "2016-11-19T16:32:11Z",
          "privateIp" : "10.158.112.84",
          "ramdiskId" : null,
          "region" : "us-west-2",
          "version" : "2017-09-30"
        }""")


def test_the_signature_verifies_with_the_certificate(directory: Path, identity: Identity) -> None:
    key = x509.load_pem_x509_certificate(certificate_pem(directory).encode()).public_key()
    assert isinstance(key, RSAPublicKey)
    assert key.key_size == 2048
    signature = base64.b64decode(paper(identity, "signature"))
    key.verify(signature, document(FACTS).encode(), padding.PKCS1v15(), SHA256())
    with pytest.raises(InvalidSignature):
        key.verify(signature, document(replace(FACTS, account="2" * 12)).encode(), padding.PKCS1v15(), SHA256())


@pytest.mark.parametrize("name", ["pkcs7", "rsa2048"])
def test_openssl_verifies_what_is_wrapped_in_pkcs7(identity: Identity, tmp_path: Path, name: str) -> None:
    certificate, wrapped = tmp_path / "certificate.pem", tmp_path / "pkcs7"
    certificate.write_text(identity.certificate)
    wrapped.write_text(f"-----BEGIN PKCS7-----\n{paper(identity, name)}\n-----END PKCS7-----\n")
    verify = ["openssl", "smime", "-verify", "-inform", "PEM", "-certfile", certificate, "-noverify"]
    done = subprocess.run([*verify, "-in", wrapped], capture_output=True, text=True, check=False)
    assert done.stdout == document(FACTS), done.stderr

    certificate.write_text(Identity(_another()).certificate)
    assert subprocess.run([*verify, "-in", wrapped], capture_output=True, check=False).returncode != 0


def _another() -> bytes:
    from engine.metadata.identity import _new_identity

    return _new_identity()


def test_openssl_verifies_the_signature(identity: Identity, tmp_path: Path) -> None:
    (tmp_path / "document").write_text(document(FACTS))
    (tmp_path / "signature").write_bytes(base64.b64decode(paper(identity, "signature")))
    (tmp_path / "certificate.pem").write_text(identity.certificate)
    commands = (
        "openssl x509 -in certificate.pem -noout -pubkey > key.pem && "
        "openssl dgst -sha256 -verify key.pem -signature signature document"
    )
    done = subprocess.run(commands, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified OK" in done.stdout, done


def test_the_same_instance_is_told_the_same_for_ever(directory: Path, identity: Identity) -> None:
    again = open_identity(directory)
    for name in ("document", "pkcs7", "rsa2048", "signature"):
        assert paper(identity, name) == paper(again, name)
    assert json.loads(paper(identity, "document", replace(FACTS, id="i-2")))["instanceId"] == "i-2"


def test_the_key_is_for_its_owners_eyes_only(directory: Path, identity: Identity) -> None:
    assert identity.certificate
    assert (directory / "identity.pem").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert "PRIVATE" not in certificate_pem(directory)


def test_those_who_make_it_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: certificate_pem(tmp_path / "identity"), range(4)))
    assert len(set(made)) == 1
    assert [file.name for file in (tmp_path / "identity").iterdir()] == ["identity.pem"]
