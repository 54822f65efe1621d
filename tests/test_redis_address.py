"""How the address of a Redis is written."""

import pytest

from bibsync.replicas import address
from bibsync.replicas.address import Address


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("redis://localhost", Address((("localhost", 6379),))),
        ("redis://localhost/", Address((("localhost", 6379),))),
        ("redis://[::1]:7000/3", Address((("::1", 7000),), db=3)),
        ("redis://a_host?db=4", Address((("a_host", 6379),), db=4)),
        ("redis://:p%40ss@h", Address((("h", 6379),), login={"password": "p@ss"})),
        (
            "redis://me:p%2Fss@h:1/15",
            Address((("h", 1),), db=15, login={"username": "me", "password": "p/ss"}),
        ),
        (
            "rediss://h?ssl_ca_certs=/a/b.pem&ssl_check_hostname=false&ssl_cert_reqs=optional",
            Address(
                (("h", 6379),),
                tls=True,
                options={
                    "ssl_ca_certs": "/a/b.pem",
                    "ssl_check_hostname": False,
                    "ssl_cert_reqs": "optional",
                },
            ),
        ),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        (
            "unix://:pw@/run/redis.sock?db=2",
            Address(path="/run/redis.sock", db=2, login={"password": "pw"}),
        ),
        (
            "redis+sentinel://a,b:7,[::1]:8/main",
            Address((("a", 26379), ("b", 7), ("::1", 8)), service="main"),
        ),
        (
            "rediss+sentinel://me:pw@a/main/2?sentinel_user=they&sentinel_password=p%26w",
            Address(
                (("a", 26379),),
                service="main",
                tls=True,
                db=2,
                login={"username": "me", "password": "pw"},
                sentinel_login={"username": "they", "password": "p&w"},
            ),
        ),
    ],
)
def test_an_address_is_read(written: str, read: Address):
    assert read == address.read(written)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("localhost:6379", "must be an address that begins with redis://"),
        ("redis:localhost", "must be an address"),
        ("http://canary", "must be an address"),
        ("redis://can ary", "must be an address"),
        ("redis://[::1", "must be an address"),
        ("redis://", "must name a host"),
        ("redis:///0", "must name a host"),
        ("redis://:canary@/0", "must name a host"),
        ("redis://h:0", "a port from 1 to 65535"),
        ("redis://h:65536", "a port from 1 to 65535"),
        ("redis://h:canary", "a port from 1 to 65535"),
        ("redis://:can/ary@h", "written %2F"),
        ("redis://:can#ary@h", "written %23"),
        ("redis://a,b", "several are Sentinels"),
        ("redis://h/canary", "must end with the number of a database"),
        ("redis://h/1/2", "one number"),
        ("redis://h/1?db=2", "one number"),
        ("unix://canary", "path of a socket"),
        ("unix:///", "path of a socket"),
        ("redis://h?canary=1", "has an option twice, or one that isn't"),
        ("redis://h?db=1&db=2", "has an option twice"),
        ("redis://h?ssl_ca_certs=/canary", "need rediss://"),
        ("redis://h?sentinel_password=canary", "only an address of Sentinels"),
        ("rediss://h?ssl_ca_certs=", "option without a value"),
        ("rediss://h?ssl_check_hostname=canary", "true or false"),
        ("rediss://h?ssl_cert_reqs=canary", "required, optional or none"),
        ("redis+sentinel://a,b", "must name the service"),
        ("redis+sentinel:///main", "must name a host"),
        ("redis+sentinel://a,,b/main", "must name a host"),
        ("redis+sentinel://a/main/canary", "must end with the number of a database"),
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(written: str, words: str):
    with pytest.raises(ValueError, match=r"must|has|need") as refused:
        address.read(written)

    assert words in str(refused.value)
    assert "canary" not in str(refused.value)


def test_an_address_does_not_show_its_password():
    assert "canary" not in repr(address.read("redis://:canary@h"))
