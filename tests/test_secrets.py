import json  # noqa: TID251 - tests judge by another encoder
from urllib.parse import quote

import pytest
from hypothesis import given, strategies as st

from recorder.source import NO_SECRETS, Secrets


KEY = "k3y/with+signs=="
SECRET = 'a"back\\slash%41-secret'
SECRETS = Secrets({"key": KEY, "secret": SECRET})


@pytest.mark.parametrize("value", [KEY, SECRET])
@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(str, id="as it is"),
        pytest.param(json.dumps, id="JSON"),
        pytest.param(lambda v: json.dumps(v).replace("/", "\\/"), id="JSON of others"),
        pytest.param(lambda v: "".join(f"\\u{ord(c):04x}" for c in v), id="escaped"),
        pytest.param(lambda v: "".join(f"\\u{ord(c):04X}" for c in v), id="ESCAPED"),
        pytest.param(lambda v: v[0] + f"\\u{ord(v[1]):04x}" + v[2:], id="mixed"),
        pytest.param(lambda v: quote(v, safe=""), id="address"),
        pytest.param(lambda v: "".join(f"%{ord(c):02x}" for c in v), id="percent"),
    ],
)
def test_a_key_is_found_however_it_is_spelled(value, spelled) -> None:
    said = spelled(value).strip('"')

    assert SECRETS.hide(f"no {said} here") == "no *** here"
    assert SECRETS.hide_bytes(f'{{"x":"{said}{said}"}}'.encode()) == b'{"x":"******"}'


def test_what_holds_no_key_stays_as_it_is() -> None:
    for text in ("", "100 %", 'a \\"quoted\\" word', "k3y/", "\u5e01 \ud800"):
        assert SECRETS.hide(text) == text
    for payload in (b"", b"\xff\xfe\\", b'{"a":"\\u00fc"}'):
        assert SECRETS.hide_bytes(payload) == payload


def test_the_longer_of_two_keys_is_found_first() -> None:
    secrets = Secrets({"key": "a-long-key", "secret": "a-long-key-and-more"})

    assert secrets.hide("a-long-key-and-more a-long-key") == "*** ***"


def test_a_text_that_breaks_off_within_a_key_shows_no_part_of_it() -> None:
    for length in range(8, len(SECRET)):
        assert SECRETS.hide(f"bad {SECRET[:length]}") == "bad ***"
    assert SECRETS.hide(f"bad {SECRET[:8]} key") == f"bad {SECRET[:8]} key"


def test_a_signature_is_a_secret_from_now_on() -> None:
    secrets = Secrets({"secret": "long-enough"})

    assert secrets.signed("0a1b2c3d4e") == "0a1b2c3d4e"
    assert secrets.hide("signed 0a1b2c3d4e by long-enough") == "signed *** by ***"
    assert list(secrets) == ["secret"]


def test_signatures_do_not_pile_up() -> None:
    secrets = Secrets({"secret": "long-enough"})
    for number in range(100):
        secrets.signed(f"signature-{number:03}")

    assert secrets.hide("signature-000 signature-099") == "signature-000 ***"


def test_secrets_print_as_nothing() -> None:
    assert KEY not in repr(SECRETS)
    assert f"{SECRETS}" == "Secrets(key, secret)"


@given(st.binary())
def test_without_secrets_a_frame_is_itself(payload: bytes) -> None:
    assert NO_SECRETS.hide_bytes(payload) is payload


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([KEY, SECRET]))
def test_around_a_key_every_byte_stays(before: bytes, after: bytes, key: str) -> None:
    secrets = Secrets({"key": key})
    hidden = secrets.hide_bytes(before + b"." + key.encode() + b"." + after)

    assert hidden == before + b".***." + after
