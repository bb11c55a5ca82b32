"""Bucket URLs: every style that is read, and every refusal."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callreel.errors import InvalidDestination
from callreel.model.destination import MAX_KEY_BYTES, check_key_template, object_key, parse_destination
from tests.recordings import ACCOUNT, RECORDING

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def key_of(url: str, template: str | None = None, *, call_sid: str | None = None) -> str:
    return object_key(
        parse_destination(url),
        template=template,
        account_sid=ACCOUNT,
        recording_sid=RECORDING,
        call_sid=call_sid,
        created=(2026, 1, 9),
        extension="wav",
    )


@pytest.mark.parametrize(
    ("url", "bucket", "region", "prefix", "path_style"),
    [
        ("https://my-bucket.s3.amazonaws.com", "my-bucket", "us-east-1", "", False),
        ("https://my-bucket.s3.amazonaws.com/", "my-bucket", "us-east-1", "", False),
        ("https://my-bucket.s3.amazonaws.com/documents/2020", "my-bucket", "us-east-1", "documents/2020", False),
        ("https://my-bucket.s3.eu-central-1.amazonaws.com/a", "my-bucket", "eu-central-1", "a", False),
        ("https://my-bucket.s3-us-west-2.amazonaws.com/a/", "my-bucket", "us-west-2", "a", False),
        ("https://MY-Bucket.S3.amazonaws.com/A", "my-bucket", "us-east-1", "A", False),
        ("https://s3.amazonaws.com/my-bucket/a", "my-bucket", "us-east-1", "a", True),
        ("https://s3.eu-west-1.amazonaws.com/my-bucket", "my-bucket", "eu-west-1", "", True),
        ("https://s3-eu-west-1.amazonaws.com/my-bucket/a//b/", "my-bucket", "eu-west-1", "a/b", True),
        ("https://s3.us-gov-west-1.amazonaws.com/my-bucket", "my-bucket", "us-gov-west-1", "", True),
    ],
)
def test_an_aws_url_is_read_in_every_style(url: str, bucket: str, region: str, prefix: str, path_style: bool) -> None:
    found = parse_destination(url)
    assert (found.bucket, found.region, found.prefix, found.path_style) == (bucket, region, prefix, path_style)
    assert found.is_aws


def test_a_region_given_beside_the_url_is_used_where_the_url_names_none() -> None:
    assert parse_destination("https://b-1.s3.amazonaws.com", region="eu-west-3").region == "eu-west-3"
    assert parse_destination("https://b-1.s3.eu-west-1.amazonaws.com", region="eu-west-3").region == "eu-west-1"


def test_a_bucket_with_dots_is_asked_by_path_since_no_certificate_covers_its_host() -> None:
    found = parse_destination("https://calls.example.com.s3.eu-west-1.amazonaws.com/a")
    assert (found.bucket, found.path_style, found.host) == (
        "calls.example.com",
        True,
        "s3.eu-west-1.amazonaws.com",
    )


@pytest.mark.parametrize(
    ("url", "bucket", "region"),
    [
        ("https://b-1.s3.cn-north-1.amazonaws.com.cn/a", "b-1", "cn-north-1"),
        ("https://s3.cn-north-1.amazonaws.com.cn/b-1/a", "b-1", "cn-north-1"),
        ("https://b-1.s3.dualstack.eu-west-1.amazonaws.com/a", "b-1", "eu-west-1"),
        ("https://s3.dualstack.eu-west-1.amazonaws.com/b-1/a", "b-1", "eu-west-1"),
    ],
)
def test_china_and_dual_stack_are_aws_too(url: str, bucket: str, region: str) -> None:
    found = parse_destination(url)
    assert (found.bucket, found.region, found.prefix, found.is_aws) == (bucket, region, "a", True)


@pytest.mark.parametrize(
    "url",
    [
        "https://b-1.s3-accelerate.amazonaws.com/a",
        "https://ec2.eu-west-1.amazonaws.com/b-1/a",
        "https://b-1.s3-website-us-east-1.amazonaws.com/a",
    ],
)
def test_an_aws_host_that_is_no_bucket_is_not_taken_for_another_providers(url: str) -> None:
    with pytest.raises(InvalidDestination, match="AWS"):
        parse_destination(url)


@pytest.mark.parametrize(
    ("url", "endpoint", "bucket", "prefix"),
    [
        ("https://minio.example.com/Calls_1/a/b", "https://minio.example.com", "Calls_1", "a/b"),
        ("https://minio.example.com:9000/calls", "https://minio.example.com:9000", "calls", ""),
        ("https://storage.googleapis.com/calls/a", "https://storage.googleapis.com", "calls", "a"),
    ],
)
def test_a_compatible_endpoint_names_the_bucket_in_its_path(url: str, endpoint: str, bucket: str, prefix: str) -> None:
    found = parse_destination(url)
    assert (found.endpoint, found.bucket, found.prefix) == (endpoint, bucket, prefix)
    assert found.path_style
    assert not found.is_aws


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://key:secret@minio.example.com/calls", "credentials"),
        ("https://key@minio.example.com/calls", "credentials"),
        ("https://minio.example.com/calls?versionId=1", "query"),
        ("https://minio.example.com/calls?", "query"),
        ("https://minio.example.com/calls#a", "fragment"),
        ("https://10.0.0.1/calls", "IP address"),
        ("https://[::1]/calls", "IP address"),
        ("https://2130706433/calls", "host name"),
        ("https://0x7f.0x1/calls", "host name"),
        ("https://127.0.0.0x1/calls", "host name"),
        ("https://0177.0.0.01/calls", "host name"),
        ("http://minio.example.com/calls", "https"),
        ("ftp://minio.example.com/calls", "https"),
        ("minio.example.com/calls", "https"),
        ("https:///calls", "no host"),
        ("https://localhost/calls", "full DNS"),
        ("https://-bad.example.com/calls", "DNS-compliant"),
        ("https://bad..example.com/calls", "DNS-compliant"),
        ("https://minio.example.com", "no bucket"),
        ("https://s3.amazonaws.com/", "no bucket"),
        ("https://s3.amazonaws.com/My_Bucket", "bucket name"),
        ("https://s3.amazonaws.com/10.0.0.1", "bucket name"),
        ("https://minio.example.com/ab", "bucket name"),
        ("https://minio.example.com/a..b", "bucket name"),
        ("https://minio.exämple.com/calls", "ASCII"),
        ("https://minio.example.com/calls/grüße", "ASCII"),
        ("https://minio.example.com/calls/a b", "without spaces"),
        ("https://minio.example.com/calls/a\nb", "without spaces"),
        ("https://minio.example.com/calls\\a", "ASCII"),
        ("https://minio.example.com/calls/../other", "'..'"),
        ("https://minio.example.com/calls/./other", "'.'"),
        ("https://minio.example.com/calls/%2e%2E/other", "'..'"),
        ("https://minio.example.com/calls/a%20b", "RFC 3986"),
        ("https://minio.example.com/calls/a%zzb", "RFC 3986"),
        ('https://minio.example.com/calls/a"b', "RFC 3986"),
        ("https://minio.example.com:0/calls", "port"),
        ("https://minio.example.com:99999/calls", "not a URL"),
        ("https://[::1/calls", "not a URL"),
        ("https://minio.example.com/calls/" + "a" * 2048, "2048"),
        ("", "https"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(InvalidDestination, match=reason):
        parse_destination(url)


def test_private_networks_allow_http_ip_hosts_and_short_names() -> None:
    assert parse_destination("http://127.0.0.1:9000/calls", private_networks=LOOPBACK).host == "127.0.0.1:9000"
    assert parse_destination("http://[::1]:9000/calls", private_networks=LOOPBACK).endpoint == "http://[::1]:9000"
    assert parse_destination("http://minio:9000/calls", private_networks=LOOPBACK).bucket == "calls"
    with pytest.raises(InvalidDestination, match="IP address"):
        parse_destination("http://10.0.0.1:9000/calls", private_networks=LOOPBACK)
    with pytest.raises(InvalidDestination, match="host name"):
        parse_destination("http://0x7f000001:9000/calls", private_networks=LOOPBACK)


@given(st.text(max_size=80))
def test_any_text_is_a_destination_or_refused(text: str) -> None:
    for url in (text, f"https://{text}", f"https://s3.amazonaws.com/calls/{text}"):
        try:
            found = parse_destination(url)
        except InvalidDestination:
            continue
        assert found.url_of("k").isascii()
        assert not {".", ".."} & set(found.prefix.split("/"))


def test_urls_of_objects_are_what_is_asked_for() -> None:
    virtual = parse_destination("https://calls.s3.eu-west-1.amazonaws.com/a")
    assert virtual.url_of("a/b c+d") == "https://calls.s3.eu-west-1.amazonaws.com/a/b%20c%2Bd"
    path = parse_destination("https://minio.example.com:9000/calls/a")
    assert path.url_of("a/RE1") == "https://minio.example.com:9000/calls/a/RE1"
    assert path.path_of("") == "/calls/"


# --- Object keys -----------------------------------------------------------------------------------------------------


def test_the_key_is_prefix_account_and_recording() -> None:
    assert key_of("https://s3.amazonaws.com/calls/documents/2020") == f"documents/2020/{ACCOUNT}/{RECORDING}"
    assert key_of("https://s3.amazonaws.com/calls") == f"{ACCOUNT}/{RECORDING}"


def test_a_template_makes_the_key() -> None:
    template = "{prefix}/{year}/{month}/{day}/{call_sid}/{account_sid}-{recording_sid}.{extension}"
    url = "https://s3.amazonaws.com/calls/a"
    assert key_of(url, template, call_sid="CA1") == f"a/2026/01/09/CA1/{ACCOUNT}-{RECORDING}.wav"
    assert key_of(url, template) == f"a/2026/01/09/no-call/{ACCOUNT}-{RECORDING}.wav"


def test_a_key_longer_than_s3_allows_is_refused() -> None:
    with pytest.raises(InvalidDestination, match=str(MAX_KEY_BYTES)):
        key_of("https://s3.amazonaws.com/calls/" + "a" * 1000)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{prefix}/{account_sid}", "recording_sid"),
        ("{recording_sid}/{tenant}", "knows no"),
        ("{recording_sid.__class__}", "knows no"),
        ("{recording_sid!r}", "knows no"),
        ("{}/{recording_sid}", "knows no"),
        ("{{recording_sid}}", "brace"),
        ("{recording_sid}{", "brace"),
        ("../{recording_sid}", "'..'"),
        ("{prefix}../{recording_sid}", "'..'"),
        ("{prefix}./{recording_sid}", "'.'"),
        ("a b/{recording_sid}", "RFC 3986"),
        ("ä/{recording_sid}", "RFC 3986"),
        ("a\\{recording_sid}", "RFC 3986"),
        ("%41/{recording_sid}", "RFC 3986"),
        ("{recording_sid}/" + "a" * 512, "512"),
    ],
)
def test_a_template_that_makes_no_safe_key_is_refused(template: str, reason: str) -> None:
    with pytest.raises(InvalidDestination, match=reason):
        check_key_template(template)


@given(st.text(st.sampled_from("ab./{}-_~ é%\\") | st.characters(), max_size=30))
def test_an_accepted_template_makes_safe_and_distinct_keys(text: str) -> None:
    template = text + "{recording_sid}"
    try:
        check_key_template(template)
    except InvalidDestination:
        return
    for url in ("https://s3.amazonaws.com/calls", "https://s3.amazonaws.com/calls/p"):
        key = key_of(url, template)
        assert RECORDING in key
        assert not {"", ".", ".."} & set(key.split("/"))


def test_an_accepted_template_may_begin_and_end_with_a_slash() -> None:
    template = check_key_template("/{prefix}/{recording_sid}/")
    assert key_of("https://s3.amazonaws.com/calls", template) == RECORDING
