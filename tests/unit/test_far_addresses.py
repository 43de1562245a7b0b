"""Which addresses are those of somebody else's database."""

import pytest

from headwater.contracts.destinations import NamedDestination, database_fault


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:b@h:5432/d",
        "postgres://a:b@h/d?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://a:b@[::1]:5432/d",
        "postgresql://a:b@one,two:5433/d",
        "postgresql://h/d?user=a&password=b",
    ],
)
def test_an_address_over_the_network_with_a_password_is_one(url: str) -> None:
    assert database_fault(url) is None
    assert NamedDestination.model_validate({"name": "lake", "url": url}).is_far


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql:///d", "local socket"),
        ("postgresql://a:b@/d?host=/run/postgresql", "local socket"),
        ("postgresql://a:b@h/d?host=/run/postgresql", "local socket"),
        ("postgresql://a:b@%2Frun%2Fpostgresql/d", "local socket"),
        ("postgresql://a:b@h,%2Frun/d", "local socket"),
        ("postgresql://a:b@%40abstract/d", "local socket"),
        ("postgresql://a:b@:5432/d", "local socket"),
        ("postgresql://a@h/d", "no password"),
        ("postgresql://h/d", "no user"),
        ("postgresql://a:b@h/d?passfile=/root/.pgpass", "`passfile`"),
        ("postgresql://a:b@h/d?sslkey=/root/key", "`sslkey`"),
        ("postgresql://a:b@[h/d", "cannot be read"),
    ],
)
def test_what_would_use_the_rights_of_headwaters_process_is_refused(url: str, why: str) -> None:
    assert why in (database_fault(url) or "")
    with pytest.raises(ValueError, match=why):
        NamedDestination.model_validate({"name": "lake", "url": url})
