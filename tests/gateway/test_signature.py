import hmac
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gateway.signature import SignatureError, Signed, verify
from tests.gateway.signing import (
    FORM,
    GOOD,
    KEY,
    MISMATCH,
    NOW,
    SECRET,
    SECRETS,
    URL,
    by_header,
    by_query,
    refusal,
    sign,
    with_authorization,
    with_header,
    with_query,
)

# -- known answers -----------------------------------------------------------

SUITE = {
    "get-vanilla": ("GET", "/", "", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "get-vanilla-query-order-key-case": (
        *("GET", "/", "Param2=value2&Param1=value1", [], b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "post-vanilla": ("POST", "/", "", [], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "post-x-www-form-urlencoded": (
        *("POST", "/", "", [("Content-Type", "application/x-www-form-urlencoded")], b"Param1=value1"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    "get-header-value-trim": (
        *("GET", "/", "", [("My-Header1", " value1"), ("My-Header2", ' "a   b   c"')], b""),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
}


@pytest.mark.parametrize("name", SUITE)
def test_a_case_of_the_published_test_suite_is_accepted(name):
    method, path, query, extra, body, signature = SUITE[name]
    headers = [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z"), *extra]
    names = ";".join(sorted(key.lower() for key, _ in headers))
    scope = f"Credential={KEY}/20150830/us-east-1/service/aws4_request"
    headers.append(("Authorization", f"AWS4-HMAC-SHA256 {scope}, SignedHeaders={names}, Signature={signature}"))
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    signed = verify(method, path, query, headers, body, SECRETS, now)
    assert signed == Signed(KEY, "20150830", "us-east-1", "service")


def test_the_example_of_the_user_guide_is_accepted():
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "Host": "iam.amazonaws.com",
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }
    query = b"Action=ListUsers&Version=2010-05-08"
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    assert verify("GET", "/", query, headers, b"", SECRETS, now).service == "iam"


# -- botocore's signers ------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"token": "session/token+=="},
        {"method": "GET", "url": f"{URL}?Action=DescribeInstances&b=2&a=1&a=0&c", "body": b""},
        {"headers": [("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")]},
        {"headers": [("X-Odd", "  a   b  "), ("X-Empty", ""), ("User-Agent", "unsigned")]},
        {"headers": [("X-Name", "J\u00fcrgen \u4e16")]},
        {"headers": [("Date", "x")]},
        {"headers": [("Host", "other.example")]},
        {"headers": [("X-Amz-Content-SHA256", sha256(FORM).hexdigest())]},
        {"headers": [("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")]},
        {"url": "http://cloud.example:8000/a%20b/../c//d/./%C3%A9/"},
        {"url": "http://cloud.example:8000/a/.."},
        {"url": "http://cloud.example:8000/~x/(y)"},
        {"url": "http://cloud.example:8000"},
        {"body": b"\x00\xff" * 10_000},
    ],
)
def test_what_botocore_signs_is_accepted(arguments):
    assert verify(*by_header(**arguments), SECRETS, NOW) == GOOD


@pytest.mark.parametrize("arguments", [{}, {"token": "t/+="}, {"headers": [("X-Odd", "a  b")]}, {"expires": 1}])
def test_what_botocore_presigns_is_accepted(arguments):
    assert verify(*by_query(**arguments), SECRETS, NOW) == GOOD


def test_the_scope_is_returned_for_the_caller_to_judge():
    assert verify(*by_header(service="sts"), SECRETS, NOW) == Signed(KEY, "20240102", "dc-1", "sts")


def test_a_header_that_is_given_twice_is_signed_as_one():
    arguments = by_header(headers=[("X-Twice", "a,b")])
    arguments[3] = [pair for pair in arguments[3] if pair[0] != "X-Twice"] + [("x-twice", "a"), ("X-TWICE", " b ")]
    assert verify(*arguments, SECRETS, NOW) == GOOD


def test_the_authorization_header_needs_no_blanks():
    arguments = with_authorization(by_header(), ", ", ",")
    assert verify(*arguments, SECRETS, NOW) == GOOD


def test_a_space_may_be_sent_as_a_plus_if_it_was_signed_as_a_space():
    arguments = by_header("GET", f"{URL}?Name=a%20b", b"")
    arguments[2] = "Name=a+b"
    assert verify(*arguments, SECRETS, NOW) == GOOD


PAIRS = st.lists(st.tuples(st.text(), st.text()), max_size=6)
HEADER_TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x24F, exclude_characters="\x7f\x85\xa0"))


@given(PAIRS, st.sampled_from(["", "~!*'()/:@,$"]))
def test_any_query_string_that_botocore_signs_is_accepted(pairs, safe):
    query = urlencode(pairs, safe=safe, quote_via=quote)
    assert verify(*by_header("GET", f"{URL}?{query}", b""), SECRETS, NOW) == GOOD


@given(PAIRS)
def test_any_query_string_that_botocore_encodes_is_accepted(pairs):
    request = AWSRequest("GET", URL, params=pairs)
    arguments = sign(SigV4Auth(Credentials(KEY, SECRET), "ec2", "dc-1"), request)
    arguments[2] = urlencode(pairs)
    assert verify(*arguments, SECRETS, NOW) == GOOD


@given(
    st.dictionaries(st.from_regex("x-[a-z]{1,8}", fullmatch=True), st.lists(HEADER_TEXT).map("  ".join)), st.binary()
)
def test_any_headers_and_body_that_botocore_signs_are_accepted(headers, body):
    assert verify(*by_header(headers=headers.items(), body=body), SECRETS, NOW) == GOOD


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1)))
def test_any_parameters_that_botocore_presigns_are_accepted(params):
    if not any(name.startswith("X-Amz-") for name in params):
        assert verify(*by_query(f"{URL}?{urlencode(params)}"), SECRETS, NOW) == GOOD


# -- tampering ---------------------------------------------------------------


@pytest.mark.parametrize("position", [0, 1, 2, 4])
def test_a_change_of_method_path_query_or_body_is_noticed(position):
    changed = {0: "PUT", 1: "/x", 2: "a=1", 4: b"Action=TerminateInstances"}
    arguments = by_header()
    arguments[position] = changed[position]
    assert refusal(arguments) == MISMATCH


@pytest.mark.parametrize("name", ["Host", "X-Amz-Security-Token", "X-Odd"])
def test_a_change_of_a_signed_header_is_noticed(name):
    arguments = by_header(token="t", headers=[("X-Odd", "a")])
    assert refusal(with_header(arguments, name, "changed")) == MISMATCH


@pytest.mark.parametrize("name", ["Host", "X-Odd"])
def test_the_loss_of_a_signed_header_is_noticed(name):
    arguments = by_header(headers=[("X-Odd", "a")])
    assert refusal(with_header(arguments, name, None)) == MISMATCH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/dc-1/", "/dc-2/"),
        ("/ec2/", "/sts/"),
        ("/20240102/", "/20240103/"),
        ("aws4_request", "aws3_request"),
        ("Signature=[0-9a-f]{4}", "Signature=0000"),
        ("Signature=.*", "Signature="),
        ("Signature=.*", "Signature=\u00e9"),
        ("SignedHeaders=host;", "SignedHeaders=host;host;"),
        ("SignedHeaders=host;", "SignedHeaders=Host;host;"),
    ],
)
def test_a_change_of_the_authorization_is_noticed(old, new):
    assert refusal(with_authorization(by_header(), old, new)) == MISMATCH


def test_an_unsigned_payload_cannot_be_claimed_afterwards():
    assert refusal(with_header(by_header(), "X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")) == MISMATCH


def test_a_payload_hash_that_is_not_the_bodys_is_refused():
    arguments = by_header(headers=[("X-Amz-Content-SHA256", sha256(FORM).hexdigest())])
    arguments[4] = b"other"
    assert refusal(arguments) == ("XAmzContentSHA256Mismatch", 400)


def test_a_body_may_change_if_its_signer_said_so():
    arguments = by_header(headers=[("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")])
    arguments[4] = b"other"
    assert verify(*arguments, SECRETS, NOW) == GOOD


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Name=a%20b", "Name=c"),
        ("&Name=a%20b", ""),
        ("$", "&Extra=1"),
        ("X-Amz-Expires=600", "X-Amz-Expires=60000"),
        ("X-Amz-Signature=....", "X-Amz-Signature=0000"),
        ("%2Fdc-1%2F", "%2Fdc-2%2F"),
        ("%2F20240102%2F", "%2F20240101%2F"),
        ("X-Amz-Date=20240102T030405Z", "X-Amz-Date=20240102T030406Z"),
        ("SignedHeaders=host", "SignedHeaders=host%3Bx-none"),
    ],
)
def test_a_change_of_a_presigned_query_is_noticed(old, new):
    assert refusal(with_query(by_query(), old, new)) == MISMATCH


def test_a_body_cannot_be_added_to_a_presigned_query():
    arguments = by_query()
    arguments[4] = b"DryRun=false"
    assert refusal(arguments) == MISMATCH


@given(st.data())
def test_no_changed_character_of_a_query_string_goes_unnoticed(data):
    arguments = by_query()
    position = data.draw(st.integers(0, len(arguments[2]) - 1))
    new = data.draw(st.characters(min_codepoint=0x21, max_codepoint=0x7E))
    changed = arguments[2][:position] + new + arguments[2][position + 1 :]
    if changed.lower() != arguments[2].lower():  # %2f and %2F are one
        arguments[2] = changed
        with pytest.raises(SignatureError):
            verify(*arguments, SECRETS, NOW)


# -- who ---------------------------------------------------------------------


def test_a_request_without_credentials_is_refused():
    expected = ("MissingAuthenticationToken", 403)
    assert refusal(["POST", "/", "", [("Host", "h")], FORM]) == expected
    assert refusal(["GET", "/", "Name=X-Amz-Algorithm=", {}, b""]) == expected


def test_an_unknown_key_is_refused():
    assert refusal(by_header(), secret_for=lambda key: None) == ("AuthFailure", 401)
    assert refusal(by_query(), secret_for=lambda key: None) == ("AuthFailure", 401)


def test_a_wrong_secret_is_refused():
    assert refusal(by_header(), secret_for=lambda key: "other") == MISMATCH
    assert refusal(by_query(), secret_for=lambda key: "other") == MISMATCH


def test_nothing_but_a_key_id_is_asked_for():
    arguments = with_authorization(by_header(), KEY, "a'\x00b")
    assert refusal(arguments, secret_for=pytest.fail) == ("AuthFailure", 401)


def test_signatures_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or True)
    verify(*with_authorization(by_header(), "Signature=.*", "Signature=x"), SECRETS, NOW)
    assert len(compared) == 1


def test_headers_may_be_text_that_no_server_decoded():
    arguments = by_header(headers=[("X-Name", "J\u00fcrgen \u4e16")])
    assert verify(*with_header(arguments, "X-Name", "J\u00fcrgen \u4e16"), SECRETS, NOW) == GOOD
