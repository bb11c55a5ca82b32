"""Our signatures against Twilio's own validator."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from callreel.outbound.signature import is_signed_by, sign

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
FORM = st.lists(st.tuples(TEXT, TEXT), max_size=8)
QUERY = st.lists(st.tuples(st.sampled_from(["x", "a b", "y%20", "bodyX"]), st.text("ab%+&=~ü", max_size=5)), max_size=3)
URLS = st.builds(
    lambda scheme, host, port, path, query: f"{scheme}://{host}{port}{path}{query}",
    st.sampled_from(["http", "https"]),
    st.sampled_from(["example.com", "127.0.0.1", "xn--bcher-kva.example"]),
    st.sampled_from(["", ":80", ":443", ":8443", ":9000"]),
    st.sampled_from(["", "/", "/cb", "/a//b/../c", "/a%2Fb", "/ü"]),
    st.builds(lambda pairs: "?" + "&".join(f"{k}={v}" for k, v in pairs) if pairs else "", QUERY),
)


class Repeated(dict[str, list[str]]):
    """Form data as Flask hands it to the validator."""

    def getall(self, name: str) -> list[str]:
        return self[name]


def as_received(form: list[tuple[str, str]]) -> Repeated:
    received = Repeated()
    for name, value in form:
        received.setdefault(name, []).append(value)
    return received


def test_the_vector_recorded_from_twilio() -> None:
    signature = sign(
        "tok",
        "http://127.0.0.1:9000/cb?x=1&y=a%20b",
        [
            ("RecordingSid", "RE1"),
            ("ErrorCode", "0"),
            ("RecordingStartTime", "Wed, 20 Apr 2022 23:45:25 +0000"),
        ],
    )
    assert signature == "RzynEjgOzlhv7Fns4oW9Z1kUVeY="


def test_the_fragment_is_not_signed() -> None:
    assert sign("tok", "https://example.com/cb?x=1#rc=3") == sign("tok", "https://example.com/cb?x=1")
    assert sign("tok", "https://example.com/cb?#rc=3") == sign("tok", "https://example.com/cb?")


@given(token=TEXT, url=URLS, form=FORM)
def test_twilios_validator_accepts_every_signature(token: str, url: str, form: list[tuple[str, str]]) -> None:
    assert RequestValidator(token).validate(url, as_received(form), sign(token, url, form))


@given(url=URLS, form=FORM)
def test_what_twilio_signs_is_recognised_with_and_without_its_port(url: str, form: list[tuple[str, str]]) -> None:
    validator = RequestValidator("tok")
    for spelled in (url, url.replace(":443", "").replace(":80", "")):
        signature = validator.compute_signature(spelled, as_received(form))
        assert is_signed_by("tok", url, form, signature) == validator.validate(url, as_received(form), signature)


@given(form=FORM, order=st.randoms())
def test_order_and_repetition_do_not_change_the_signature(form: list[tuple[str, str]], order) -> None:  # type: ignore[no-untyped-def]
    shuffled = form + form
    order.shuffle(shuffled)
    assert sign("tok", "https://example.com/", shuffled) == sign("tok", "https://example.com/", form)


def test_another_token_url_or_value_is_not_signed() -> None:
    form = [("RecordingSid", "RE1")]
    signature = sign("tok", "https://example.com/cb", form)
    assert is_signed_by("tok", "https://example.com/cb", form, signature)
    assert is_signed_by("tok", "https://example.com:443/cb", form, signature)
    assert not is_signed_by("kot", "https://example.com/cb", form, signature)
    assert not is_signed_by("tok", "https://example.com/cc", form, signature)
    assert not is_signed_by("tok", "http://example.com:81/cc", form, signature)
    assert not is_signed_by("tok", "https://example.com/cb", [("RecordingSid", "RE2")], signature)
    for wrong in ("", "ü", "\udcff", signature[:-1], signature.lower()):
        assert not is_signed_by("tok", "https://example.com/cb", form, wrong)
