"""The HTTP parser by itself: the same outcome wherever the bytes are cut, and no surprise from any bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(1200)

HOST = b"Host: x\r\n"


def run(program: Path, *arguments: str, data: bytes = b"") -> str:
    outcome = subprocess.run([str(program), *arguments], input=data, capture_output=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr.decode(errors="replace")
    return outcome.stdout.decode(errors="replace")


def parse(program: Path, data: bytes) -> str:
    return run(program, "parse", data=data)


REFUSED = {
    "bare line feed": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "bare line feed in fields": (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
    "carriage return in a value": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400),
    "nul in a value": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 400),
    "nul in a name": (b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n", 400),
    "folded field": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", 400),
    "empty name": (b"GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
    "host with a space": (b"GET / HTTP/1.1\r\nHost: x y\r\n\r\n", 400),
    "two authorizations": (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: a\r\n\r\n", 400),
    "length and encoding": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "encoding and length": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        400,
    ),
    "two equal lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
    "list of lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na", 400),
    "signed length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
    "negative length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "hexadecimal length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na", 400),
    "empty length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400),
    "huge length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", 413),
    "length over the limit": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n", 413),
    "unknown coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    "disguised coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 501),
    "coding with vertical tab": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \vchunked\r\n\r\n", 400),
    "two codings": (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
    ),
    "coding in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "unknown expectation": (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417),
    "http/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "http/1.2": (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", 505),
    "no version": (b"GET /\r\n\r\n", 400),
    "lower case version": (b"GET / http/1.1\r\nHost: x\r\n\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "control in the target": (b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "high byte in the target": (b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "target without slash": (b"GET query HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "asterisk form": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "authority form": (b"GET a:80 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "absolute form of another scheme": (b"GET ftp://a/b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "absolute form without authority": (b"GET http:///b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "absolute form without a path": (b"GET http://a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "absolute form without a host field": (b"GET http://a/b HTTP/1.1\r\n\r\n", 400),
    "nul in the request line": (b"GET /a\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "nul in the method": (b"GE\0T /a HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "length with a tab within": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\t0\r\n\r\n", 400),
    "length with a point": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1.0\r\n\r\n", 400),
    "folded length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 1\r\n\r\na", 400),
    "folded coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n", 400),
    "underscore is no hyphen": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent_Length: 1\r\nTransfer-Encoding: identity\r\n\r\na",
        501,
    ),
    "coding in quotes": (b'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "chunked"\r\n\r\n', 501),
    "coding with a comma": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked,\r\n\r\n", 501),
    "coding twice in a list": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501),
    "bad method": (b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "unknown method": (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "tls hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", 400),
    "two empty lines first": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "long target": (b"GET /" + b"a" * 17000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "endless target": (b"GET /" + b"a" * 17000, 414),
    "large field": (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 33000 + b"\r\n\r\n", 431),
    "large fields": (b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"A: " + b"a" * 900 + b"\r\n") * 40 + b"\r\n", 431),
    "many fields": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431),
}
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED_CHUNKS = {
    "no size": (b"\r\nabc\r\n", 400),
    "no hexadecimal": (b"g\r\n", 400),
    "signed": (b"+3\r\nabc\r\n0\r\n\r\n", 400),
    "prefixed": (b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    "space after": (b"3 \r\nabc\r\n0\r\n\r\n", 400),
    "space before": (b" 3\r\nabc\r\n0\r\n\r\n", 400),
    "17 digits": (b"00000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    "64 bits": (b"ffffffffffffffff\r\n", 413),
    "over the limit": (b"1001\r\n", 413),
    "over the limit together": (b"800\r\n" + b"a" * 0x800 + b"\r\n801\r\n", 413),
    "line feed after size": (b"3\nabc\r\n0\r\n\r\n", 400),
    "longer than said": (b"3\r\nabcd\r\n0\r\n\r\n", 400),
    "line feed after data": (b"3\r\nabc\n0\r\n\r\n", 400),
    "long extensions": (b"1;" + b"a" * 1100 + b"\r\nx\r\n0\r\n\r\n", 400),
    "long extensions together": ((b"1;" + b"a" * 200 + b"\r\nx\r\n") * 8 + b"0\r\n\r\n", 400),
    "control in an extension": (b"1;\x01\r\nx\r\n0\r\n\r\n", 400),
    "folded trailer": (b"0\r\n A: b\r\n\r\n", 400),
    "large trailers": (b"0\r\n" + (b"A: " + b"a" * 900 + b"\r\n") * 40 + b"\r\n", 431),
    "many trailers": (b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_two_parsers_might_read_differently_is_refused(net_units: Path, name: str) -> None:
    data, status = REFUSED[name]

    assert parse(net_units, data) == f"error {status}\n"
    assert run(net_units, "parse", "1", data=data) == f"error {status}\n"


@pytest.mark.parametrize("name", REFUSED_CHUNKS)
def test_odd_chunks_are_refused(net_units: Path, name: str) -> None:
    data, status = REFUSED_CHUNKS[name]

    assert parse(net_units, CHUNKED + data) == f"error {status}\n"
    assert run(net_units, "parse", "3", data=CHUNKED + data) == f"error {status}\n"


ACCEPTED = {
    "get": (b"GET /query?q=a HTTP/1.1\r\nHost: x\r\n\r\n", "0 /query?q=a   keep\n"),
    "head": (b"HEAD /a HTTP/1.1\r\nHost: x:80\r\n\r\n", "1 /a?   keep\n"),
    "absolute form": (b"GET http://a:1/b?c HTTP/1.1\r\nHost: x\r\n\r\n", "0 /b?c   keep\n"),
    "1.0 without host": (b"GET /a HTTP/1.0\r\n\r\n", "0 /a?   close\n"),
    "close in a list": (b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: x , CLOSE\r\n\r\n", "0 /a?   close\n"),
    "one empty line first": (b"\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", "0 /a?   keep\n"),
    "body": (b"POST /a HTTP/1.1\r\nHOST:x\r\ncontent-LENGTH: \t 3 \r\n\r\na\0b", "2 /a?  a\0b keep\n"),
    "chunks": (
        CHUNKED + b"1;a=b\r\nx\r\nA\r\n0123456789\r\n000\r\nTrailer: y\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
        "2 /?  x0123456789 keep\n0 /b?   keep\n",
    ),
    "many tiny chunks": (CHUNKED + b"1\r\nx\r\n" * 4096 + b"0\r\n\r\n", "2 /?  " + "x" * 4096 + " keep\n"),
    "authorization": (b"GET /a HTTP/1.1\r\nHost: x\r\nAuthorization:  Bearer a \r\n\r\n", "0 /a? Bearer a  keep\n"),
}


@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.parametrize("cut", [0, 1, 2, 7])
def test_a_request_is_the_same_wherever_it_is_cut(net_units: Path, name: str, cut: int) -> None:
    data, outcome = ACCEPTED[name]

    assert run(net_units, "parse", str(cut), data=data) == outcome


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_requests_neither_crash_the_parser_nor_depend_on_cuts(net_units: Path, seed: int) -> None:
    assert int(run(net_units, "fuzz", str(seed), "3")) > 100


# FIPS 180-4 examples and the lengths around a block; RFC 4231 test cases 1, 2, 6.
DIGESTS = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"a" * 1_000_000: "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
}
MACS = [
    ("0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    ("4a656665", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (
        "aa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
]


@pytest.mark.parametrize("message", DIGESTS, ids=len)
def test_sha256_gives_the_published_digests(net_units: Path, message: bytes) -> None:
    assert run(net_units, "sha256", data=message).strip() == DIGESTS[message]


@pytest.mark.parametrize(("key", "message", "mac"), MACS)
def test_hmac_gives_the_published_codes(net_units: Path, key: str, message: bytes, mac: str) -> None:
    assert run(net_units, "hmac", key, data=message).strip() == mac
