"""The search finds what is planted, in each spelling and wherever it stands, and nothing else."""

import base64
import hashlib
import hmac
import html
import json
import os
import random
from urllib.parse import quote, quote_plus, urlencode

import asyncpg
import pytest
import redis
from aviary import Aviary, injected
from canary import KEY, Canaries, Leak

PLANTED = {
    "raw": f"key={KEY}!",
    "in a URL's query": "https://vendor.example/?" + urlencode({"a": 1, "key": KEY, "b": 2}),
    "in a URL's login": f"postgresql://me:{quote(KEY, safe='')}@host/db",
    "in a path": quote(f"/a/{KEY}/b"),
    "in a form": quote_plus(KEY),
    "in JSON": json.dumps({"a": [KEY]}),
    "in JSON of UTF-8": json.dumps({"a": [KEY]}, ensure_ascii=False),
    "in HTML": html.escape(f"<p>{KEY}</p>"),
    "in a repr": repr({"key": KEY}),
    "in a repr of bytes": repr(b"x" + KEY.encode()),
    "in hex": (b"before" + KEY.encode() + b"after").hex(),
    "in hex, in capitals": (b"before" + KEY.encode() + b"after").hex().upper(),
}


@pytest.mark.parametrize("form", PLANTED)
def test_a_planted_secret_is_found_in_each_spelling(form):
    told = Canaries().leaks("here", f"some text before {PLANTED[form]} and behind")

    assert {("account_key", "here")} == {(leak.name, leak.where) for leak in told}


@pytest.mark.parametrize("before", range(7))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_within_base64_is_found_wherever_it_begins(before, encode):
    planted = encode(os.urandom(before) + KEY.encode() + os.urandom(5)).decode()

    assert Leak("account_key", "base64", "log") in Canaries().leaks("log", f"a {planted} b")


def test_a_signature_is_found_once_it_is_known():
    digest = hmac.digest(KEY.encode(), b"a request", hashlib.sha256)
    signature = base64.b64encode(digest).decode()
    canaries = Canaries()
    before = canaries.leaks("log", signature)

    canaries.add_signatures([f"3MCLAUTH account:{signature}"])

    assert before == []
    for planted in (signature, quote(signature, safe=""), signature.encode().hex()):
        assert ["signature 0"] == [leak.name for leak in canaries.leaks("log", planted)][:1]


def test_every_secret_is_looked_for():
    canaries = Canaries()

    for name, secret in canaries.secrets.items():
        assert name in {leak.name for leak in canaries.leaks("here", f"({secret})")}


def test_a_text_without_a_secret_has_no_leak():
    noise = random.Random(7)
    text = base64.b64encode(noise.randbytes(1_000_000)).decode() + "canary of the account"

    assert Canaries().leaks("here", text) == []


async def test_a_leak_is_seen_wherever_it_happens(aviary: Aviary):
    aviary.configure()
    environ = injected(aviary.installation.folder, LEAKING)
    words = ("run-once", "--all", "--debug")
    await aviary.heard(await aviary.installation.start(*words, **environ), *words)
    (aviary.installation.folder / "left behind").write_text(KEY)
    conn = await asyncpg.connect(aviary.reachable)
    await conn.execute("update collections set account_id = $1", KEY)
    await conn.close()
    with redis.Redis.from_url(aviary.redis_url, protocol=2) as client:
        client.set("bibsync:leak", KEY)
        told = await aviary.silent()
        client.delete("bibsync:leak")  # the server is the next test's too

    places = {leak.where for leak in told if leak.name == "account_key"}
    assert "stderr of run-once --all --debug" in places
    assert "the file left behind" in places
    assert any("collections" in place for place in places)
    assert "the value of b'bibsync:leak'" in places
    assert "signature 0" in {leak.name for leak in told}


LEAKING = """
import sys
import bibsync.sources.bibliotheca as vendor
true = vendor.signature
def leaking(key, method, path, at):
    signed = true(key, method, path, at)
    sys.stderr.write(f"{key} {signed}")
    return signed
vendor.signature = leaking
"""
