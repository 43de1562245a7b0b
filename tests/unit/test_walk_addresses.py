"""Which addresses may be reached, in every disguise they have."""

from ipaddress import ip_address

import pytest

from headwater.http.addresses import is_allowed, parse_ranges
from headwater.model.errors import ConfigError

_REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "::ffff:0:0",
    "::10.0.0.1",
]
_ALLOWED = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.216.34",
    "172.32.0.1",
    "192.0.1.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("address", _REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(ip_address(address))


@pytest.mark.parametrize("address", _ALLOWED)
def test_what_is_public_is_allowed(address: str) -> None:
    assert is_allowed(ip_address(address))


@pytest.mark.parametrize(
    ("allowed", "address", "expected"),
    [
        ("10.1.0.0/16", "10.1.2.3", True),
        ("10.1.0.0/16", "10.2.0.1", False),
        ("10.1.0.0/16", "::ffff:10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("fd00::/8", "fe80::1", False),
        ("127.0.0.0/8", "::1", False),
        ("0.0.0.0/0", "169.254.169.254", True),
    ],
)
def test_a_source_reaches_the_private_ranges_it_was_allowed(
    allowed: str, address: str, expected: bool
) -> None:
    assert is_allowed(ip_address(address), parse_ranges([allowed])) is expected


@pytest.mark.parametrize("text", ["10.0.0.0/33", "localhost", "", "10.0.0.1/8", "*"])
def test_what_is_no_range_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_ranges([text])

    assert repr(text) in str(caught.value)
