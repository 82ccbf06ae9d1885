"""Session tokens: worth something to one instance, until their time is up."""

import base64

import pytest

from engine.metadata.tokens import derive_secret, make_token, seconds_left

SECRET = derive_secret("the deployment's key")


def test_a_token_is_valid_until_it_expires() -> None:
    token = make_token(SECRET, "i-1", 60, now=1000)
    assert seconds_left(SECRET, "i-1", token, now=1000) == 60
    assert seconds_left(SECRET, "i-1", token, now=1059.5) == 0.5
    assert seconds_left(SECRET, "i-1", token, now=1060) == 0


def test_a_token_looks_like_one_of_ec2() -> None:
    assert len(make_token(SECRET, "i-1", 21600, now=1.7e9)) == 56


def test_a_token_is_worth_nothing_to_another_instance() -> None:
    assert seconds_left(SECRET, "i-2", make_token(SECRET, "i-1", 60, now=0), now=0) == 0


def test_a_token_of_another_deployment_is_worth_nothing() -> None:
    assert seconds_left(derive_secret("another"), "i-1", make_token(SECRET, "i-1", 60, now=0), now=0) == 0


def test_a_token_cannot_be_prolonged() -> None:
    raw = base64.urlsafe_b64decode(make_token(SECRET, "i-1", 60, now=0))
    longer = (21600 * 1000).to_bytes(8, "big") + raw[8:]
    assert seconds_left(SECRET, "i-1", base64.urlsafe_b64encode(longer).decode(), now=0) == 0


def test_no_bit_of_a_token_can_be_changed() -> None:
    raw = base64.urlsafe_b64decode(make_token(SECRET, "i-1", 60, now=1000))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        assert seconds_left(SECRET, "i-1", base64.urlsafe_b64encode(changed).decode(), now=1000) == 0


@pytest.mark.parametrize("text", ["", "=", "x", "AQAAAA==", "é" * 56, "A" * 56, "A" * 10000, "\0"])
def test_rubbish_is_no_token(text: str) -> None:
    assert seconds_left(SECRET, "i-1", text, now=0) == 0


def test_a_token_with_something_added_is_no_token() -> None:
    token = make_token(SECRET, "i-1", 60, now=0)
    for changed in (token + "=", token + "\n", " " + token, token.rstrip("="), token + "AAAA"):
        assert seconds_left(SECRET, "i-1", changed, now=0) == 0
