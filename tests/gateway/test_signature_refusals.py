from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signature import LONGEST_EXPIRY, SignatureError, verify
from tests.gateway.signing import (
    EXPIRED,
    GOOD,
    INCOMPLETE,
    KEY,
    NOW,
    SECRETS,
    by_header,
    by_query,
    header,
    refusal,
    with_authorization,
    with_header,
    with_query,
)

# -- malformed ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("", "Basic dXNlcjpwYXNz", "Bearer x", "AWS4-ECDSA-P256-SHA256 Credential=a", "AWS4-HMAC-SHA256"),
        *("AWS4-HMAC-SHA256 nonsense", "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request", "\u00e9\u00ff"),
        f"AWS4-HMAC-SHA256 Credential={KEY}/20240102/dc-1/ec2/aws4_request, SignedHeaders=host;x-amz-date",
    ],
)
def test_a_malformed_authorization_is_refused(text):
    assert refusal(with_header(by_header(), "Authorization", text)) == INCOMPLETE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/aws4_request", ""),
        ("/dc-1/", "//"),
        ("/dc-1/", "/dc-1/x/"),
        ("SignedHeaders=host;", "SignedHeaders="),
        ("x-amz-date", "x-amz-other"),
        (";x-amz-security-token", ""),
        (", Signature", ", Credential=x, Signature"),
    ],
)
def test_an_incomplete_authorization_is_refused(old, new):
    assert refusal(with_authorization(by_header(token="t"), old, new)) == INCOMPLETE


def test_two_authorization_headers_are_refused():
    arguments = by_header()
    arguments[3].append(("authorization", header(arguments, "Authorization")))
    assert refusal(arguments) == INCOMPLETE
    merged = ",".join([header(arguments, "Authorization")] * 2)
    assert refusal(with_header(arguments, "Authorization", merged)) == INCOMPLETE


def test_a_request_is_signed_in_one_way_only():
    arguments = by_query()
    arguments[3].append(("Authorization", header(by_header(), "Authorization")))
    assert refusal(arguments) == INCOMPLETE


@pytest.mark.parametrize("part", ["Credential", "Date", "SignedHeaders", "Signature"])
def test_a_presigned_query_without_a_part_is_refused(part):
    assert refusal(with_query(by_query(), f"&X-Amz-{part}=[^&]*", "")) == INCOMPLETE


@pytest.mark.parametrize("part", ["Credential", "Date", "Signature", "Expires"])
def test_a_presigned_query_with_a_part_twice_is_refused(part):
    assert refusal(with_query(by_query(), "$", f"&X-Amz-{part}=1")) == INCOMPLETE


def test_a_presigned_query_must_sign_the_host_and_name_our_algorithm():
    assert refusal(with_query(by_query(), "SignedHeaders=host", "SignedHeaders=x")) == INCOMPLETE
    assert refusal(with_query(by_query(), "AWS4-HMAC-SHA256", "AWS4-HMAC-MD5")) == INCOMPLETE


@pytest.mark.parametrize("text", ["", "yesterday", "2024-01-02T03:04:05Z", "20241302T030405Z", "20240102T030405Z,x"])
def test_a_date_that_is_none_is_refused(text):
    assert refusal(with_header(by_header(), "X-Amz-Date", text)) == INCOMPLETE


def test_a_request_without_a_date_is_refused():
    assert refusal(with_header(by_header(), "X-Amz-Date", None)) == INCOMPLETE


# -- when --------------------------------------------------------------------


@pytest.mark.parametrize("sign", [by_header, lambda **_: by_header(headers=[("Date", "x")])])
def test_a_request_is_good_for_fifteen_minutes_both_ways(sign):
    arguments = sign()
    for minutes in (-15, 0, 15):
        assert verify(*arguments, SECRETS, NOW + timedelta(minutes=minutes)) == GOOD
    for seconds in (-901, 901, 10**9, -(10**9)):
        assert refusal(arguments, NOW + timedelta(seconds=seconds)) == EXPIRED


def test_an_expired_request_is_told_the_dates():
    with pytest.raises(SignatureError, match="Request has expired") as caught:
        verify(*by_header(), SECRETS, NOW + timedelta(hours=1))
    assert "Timestamp date is 20240102T030405Z. Current date is 20240102T040405Z." in caught.value.message


def test_a_presigned_query_is_good_until_it_expires():
    arguments = by_query(expires=86_400)
    assert verify(*arguments, SECRETS, NOW + timedelta(days=1)) == GOOD
    assert refusal(arguments, NOW + timedelta(days=1, seconds=1)) == EXPIRED
    assert refusal(arguments, NOW - timedelta(minutes=16)) == EXPIRED


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_EXPIRY + 1, "", "x", "1.5", "9" * 5000])
def test_a_lifetime_out_of_range_is_refused(seconds):
    assert refusal(by_query(expires=seconds)) == ("AuthorizationQueryParametersError", 400)


def test_a_lifetime_of_seven_days_is_the_longest():
    assert verify(*by_query(expires=LONGEST_EXPIRY), SECRETS, NOW + timedelta(days=7)) == GOOD
    assert refusal(with_query(by_query(), "&X-Amz-Expires=600", ""))[0] == "AuthorizationQueryParametersError"


# -- anything ----------------------------------------------------------------


@given(st.text(st.characters(max_codepoint=0xFF)), st.binary(), st.text(), st.binary())
def test_any_request_is_refused_and_nothing_worse(authorization, query, path, body):
    for text in (authorization, f"AWS4-HMAC-SHA256 {authorization}"):
        headers = [("Host", "h"), ("Date", authorization), ("Authorization", text)]
        with pytest.raises(SignatureError):
            verify("POST", path, query, headers, body, SECRETS, NOW)
    with pytest.raises(SignatureError):
        verify("GET", path, b"X-Amz-Algorithm=AWS4-HMAC-SHA256&" + query, {}, body, SECRETS, NOW)


@given(st.text(st.characters(max_codepoint=0xFF)))
def test_any_part_of_an_authorization_is_refused_and_nothing_worse(text):
    for part in ("Credential=", "SignedHeaders=", "Signature="):
        arguments = by_header()
        given = header(arguments, "Authorization")
        with pytest.raises(SignatureError):
            verify(*with_header(arguments, "Authorization", given.replace(part, part + text + "!")), SECRETS, NOW)
