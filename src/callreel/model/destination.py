"""Where a recording goes: a bucket URL read once, and the one function that makes an object key."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from callreel.errors import InvalidDestination

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_KEY_TEMPLATE = "{prefix}/{account_sid}/{recording_sid}"  # Twilio's own key has no extension
VIDEO_KEY_TEMPLATE = "{prefix}/{account_sid}/{recording_sid}.{extension}"  # as Twilio's own store has it
MAX_KEY_BYTES = 1024  # S3's limit on an object key

_AWS_S3 = r"s3(?:\.dualstack)?(?:[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?\.amazonaws\.com(?:\.cn)?"
_AWS_VIRTUAL = re.compile(rf"(?P<bucket>[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])\.{_AWS_S3}")
_AWS_PATH = re.compile(_AWS_S3)
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # some resolvers read such a last label as an IPv4 address
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]", re.ASCII)
_COMPATIBLE_BUCKET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){1,61}[A-Za-z0-9]", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)
_SEGMENT = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_TEMPLATE_FIELDS = re.compile(r"\{([^{}]*)\}")
_KNOWN_FIELDS = {"prefix", "account_sid", "recording_sid", "call_sid", "year", "month", "day", "extension"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A bucket and how to reach it. `endpoint` is scheme, host and port without a path."""

    endpoint: str
    bucket: str
    region: str
    prefix: str
    path_style: bool
    is_aws: bool

    @property
    def host(self) -> str:
        """The host and port requests are sent to, the bucket included in virtual-host style."""
        host = urlsplit(self.endpoint).netloc
        return host if self.path_style else f"{self.bucket}.{host}"

    @property
    def scheme(self) -> str:
        return urlsplit(self.endpoint).scheme

    def path_of(self, key: str) -> str:
        """The percent-encoded path of an object (or of the bucket, for an empty key) as it is signed and sent."""
        encoded = quote(key, safe="/-_.~")
        return f"/{self.bucket}/{encoded}" if self.path_style else f"/{encoded}"

    def url_of(self, key: str) -> str:
        """The object's plain URL: what `media_url` and callbacks show."""
        return f"{self.scheme}://{self.host}{self.path_of(key)}"


def parse_destination(url: str, *, region: str | None = None, private_networks: Sequence[Network] = ()) -> Destination:
    """Read a bucket URL: AWS in virtual-host or path style, or any S3-compatible `https://host[:port]/bucket[/prefix]`.

    Plain `http` and IP hosts are accepted only where `private_networks` names networks of the installation;
    the guard checks again at connect time. Raises `InvalidDestination` with the reason.
    """
    parts = _split(url)
    host = (parts.hostname or "").lower()
    _check_scheme(parts.scheme, host, private_networks)
    segments = [s for s in parts.path.split("/") if s]
    for segment in segments:
        _check_segment(segment)

    virtual = _AWS_VIRTUAL.fullmatch(host)
    if virtual:
        _check_bucket(virtual["bucket"])
        where = virtual["region"] or region or "us-east-1"
        endpoint = f"{parts.scheme}://{host.removeprefix(virtual['bucket'] + '.')}"
        return Destination(
            endpoint=endpoint,
            bucket=virtual["bucket"],
            region=where,
            prefix="/".join(segments),
            path_style="." in virtual["bucket"],  # AWS's certificate covers one label before .s3
            is_aws=True,
        )
    on_aws = _AWS_PATH.fullmatch(host)
    if on_aws is None and host.endswith(_AWS_DOMAINS):
        raise InvalidDestination(f"'{host}' is a host of AWS, but not one that callreel knows a bucket by")
    if not segments:
        raise InvalidDestination("The bucket URL names no bucket; expected https://host/bucket[/prefix]")
    _check_bucket(segments[0], compatible=on_aws is None)
    return Destination(
        endpoint=f"{parts.scheme}://{_netloc(host, parts.port)}",
        bucket=segments[0],
        region=(on_aws["region"] if on_aws else None) or region or "us-east-1",
        prefix="/".join(segments[1:]),
        path_style=True,
        is_aws=on_aws is not None,
    )


def object_key(
    destination: Destination,
    *,
    template: str | None,
    account_sid: str,
    recording_sid: str,
    call_sid: str | None,
    created: tuple[int, int, int],
    extension: str = "",
) -> str:
    """The key of a recording's object: a pure function, computed once when the recording is sealed.

    `created` is year, month and day in UTC. Raises `InvalidDestination` when the key would be longer than S3 allows.
    """
    year, month, day = created
    key = (template or DEFAULT_KEY_TEMPLATE).format_map(
        {
            "prefix": destination.prefix,
            "account_sid": account_sid,
            "recording_sid": recording_sid,
            "call_sid": call_sid or "no-call",
            "year": f"{year:04d}",
            "month": f"{month:02d}",
            "day": f"{day:02d}",
            "extension": extension,
        }
    )
    key = re.sub("/{2,}", "/", key).strip("/")
    if len(key.encode()) > MAX_KEY_BYTES:
        raise InvalidDestination(f"The object key would have more than {MAX_KEY_BYTES} bytes")
    return key


def check_key_template(template: str) -> str:
    """The template itself if it makes one safe key for each recording. Raises `InvalidDestination` with the reason."""
    unknown = set(_TEMPLATE_FIELDS.findall(template)) - _KNOWN_FIELDS
    if unknown:
        raise InvalidDestination(
            f"KeyTemplate knows no {{{min(unknown)}}}; known are {', '.join(sorted(_KNOWN_FIELDS))}"
        )
    if "{recording_sid}" not in template:
        raise InvalidDestination("KeyTemplate must contain {recording_sid}, or two recordings would share a key")
    rest = _TEMPLATE_FIELDS.sub("x", template)
    if "{" in rest or "}" in rest:
        raise InvalidDestination("KeyTemplate has a brace that belongs to no field")
    without_prefix = _TEMPLATE_FIELDS.sub("x", template.replace("{prefix}", ""))  # a bucket URL may have none
    for segment in filter(None, [*rest.split("/"), *without_prefix.split("/")]):
        _check_segment(segment)
    if len(template) > 512:
        raise InvalidDestination("KeyTemplate must have at most 512 characters")
    return template


class _Parts:
    """The pieces of a URL that were checked, in the types they are used in."""

    __slots__ = ("hostname", "path", "port", "scheme")

    def __init__(self, scheme: str, hostname: str | None, port: int | None, path: str) -> None:
        self.scheme, self.hostname, self.port, self.path = scheme, hostname, port, path


def _split(url: str) -> _Parts:
    if not url.isascii() or any(c.isspace() or not c.isprintable() for c in url) or "\\" in url:
        raise InvalidDestination("The bucket URL must be printable 7-bit ASCII without spaces (RFC 3986)")
    if len(url) > 2048:
        raise InvalidDestination("The bucket URL must have at most 2048 characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as why:
        raise InvalidDestination(f"The bucket URL is not a URL: {why}") from why
    if "@" in parts.netloc:
        raise InvalidDestination(
            "The bucket URL must not carry credentials; save them as a credential and name its SID"
        )
    if "?" in url or "#" in url:
        raise InvalidDestination("The bucket URL must not have a query or a fragment")
    if port == 0:
        raise InvalidDestination("The bucket URL has no usable port")
    return _Parts(parts.scheme, parts.hostname, port, parts.path)


def _check_scheme(scheme: str, host: str, networks: Sequence[Network]) -> None:
    if scheme not in ("https", "http"):
        raise InvalidDestination("The bucket URL must begin with https://")
    if not host:
        raise InvalidDestination("The bucket URL names no host")
    address = _as_address(host)
    if address is not None:
        if not any(address in network for network in networks if network.version == address.version):
            raise InvalidDestination("The bucket URL must name a DNS host, not an IP address")
    elif not all(_LABEL.fullmatch(label) for label in host.split(".")) or _NUMBER.fullmatch(host.rsplit(".", 1)[-1]):
        raise InvalidDestination(f"'{host}' is not a DNS-compliant host name")
    elif "." not in host and not networks:
        raise InvalidDestination(f"'{host}' is not a full DNS host name")
    if scheme == "http" and not networks:
        raise InvalidDestination("The bucket URL must begin with https://; http is for ALLOWED_PRIVATE_NETWORKS only")


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _check_segment(segment: str) -> None:
    if segment in (".", "..") or segment.lower().replace("%2e", ".") in (".", ".."):
        raise InvalidDestination("The path must not contain '.' or '..'")
    if not _SEGMENT.fullmatch(segment) or "%" in segment:
        raise InvalidDestination(f"'{segment[:80]}' has characters that RFC 3986 does not allow in a path as it is")


def _check_bucket(name: str, *, compatible: bool = False) -> None:
    shape = _COMPATIBLE_BUCKET if compatible else _BUCKET
    if not shape.fullmatch(name) or _as_address(name) is not None:
        raise InvalidDestination(
            f"'{name[:80]}' is not a DNS-compliant bucket name: 3 to 63 lower-case letters, digits, dots and hyphens"
        )


def _netloc(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
