"""The decoder of MySQL's rows gives the same columns however its bytes are cut."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from reflexdb.sources.mysql.rows import RowDecoder

EOF = b"\x05\x00\x00\x09\xfe\x00\x00\x02\x00"


def encoded(value: bytes | None) -> bytes:
    if value is None:
        return b"\xfb"
    if len(value) < 0xFB:
        return bytes([len(value)]) + value
    if len(value) < 1 << 16:
        return b"\xfc" + len(value).to_bytes(2, "little") + value
    return b"\xfd" + len(value).to_bytes(3, "little") + value


def packets(payload: bytes) -> bytes:
    whole = b""
    while True:
        part, payload = payload[:0xFFFFFF], payload[0xFFFFFF:]
        whole += len(part).to_bytes(3, "little") + b"\0" + part
        if len(part) < 0xFFFFFF:
            return whole


values = st.one_of(st.none(), st.binary(max_size=40), st.integers(0xF8, 0x110).map(bytes), st.just(b"\xff" * 70_000))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(values, values), max_size=8), st.integers(1, 5000))
def test_any_cut_of_the_bytes_gives_the_same_columns(table: list[tuple[bytes | None, bytes | None]], step: int) -> None:
    data = b"".join(packets(encoded(a) + encoded(b)) for a, b in table) + EOF
    decoder = RowDecoder(2)

    step = max(step, len(data) // 2000)
    for start in range(0, len(data), step):
        decoder.feed(data[start : start + step])

    assert decoder.ended
    assert decoder.error is None
    assert decoder.take() == [[a for a, _ in table], [b for _, b in table]]


def test_a_row_over_several_packets_is_one_row() -> None:
    for size in (0xFFFFFF - 4, 0xFFFFFF, 40_000_000):
        value = b"x" * size
        payload = b"\xfe" + size.to_bytes(8, "little") + value
        decoder = RowDecoder(1)
        decoder.feed(packets(payload) + packets(encoded(b"y")) + EOF)

        assert decoder.take() == [[value, b"y"]]
        assert decoder.ended


def test_an_error_packet_ends_the_rows_and_is_handed_out() -> None:
    decoder = RowDecoder(1)

    decoder.feed(packets(encoded(b"a")) + packets(b"\xff\x25\x05#70100interrupted"))

    assert decoder.ended
    assert decoder.error == b"\xff\x25\x05#70100interrupted"
    assert decoder.take() == [[b"a"]]
