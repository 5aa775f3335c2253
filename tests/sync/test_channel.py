"""The channel against a peer that answers, stalls, closes or talks nonsense. The real server is met in tests/deploy."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from reflexdb.model.errors import InstanceUnreachable, MemoryCapExceeded
from reflexdb.sync import feed
from reflexdb.sync.channel import PrivateChannel
from tests.sync.plans import PEOPLE


@contextlib.contextmanager
def peer(directory: Path, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    """Listen as a server would and let `behave` have the first connection."""
    descriptor = os.open(directory, os.O_PATH)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"/proc/self/fd/{descriptor}/server.sock")
    listening.listen()

    def run() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(10)
            behave(connection)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        listening.close()
        os.close(descriptor)


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    with connection.makefile("rb") as stream:
        length, kind = struct.unpack("<IB", stream.read(5))
        return kind, stream.read(length - 1)


def stall(until: threading.Event) -> Callable[[socket.socket], None]:
    def behave(_: socket.socket) -> None:
        until.wait(10)

    return behave


def answer(body: bytes, kind: int = feed.Kind.OK) -> bytes:
    return struct.pack("<IB", 1 + len(body), kind) + body


def test_a_directory_deeper_than_a_socket_address_is_reached(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d" * 50] * 5)
    deep.mkdir(parents=True)

    def behave(connection: socket.socket) -> None:
        read_frame(connection)
        connection.sendall(answer(b'{"version":3}'))

    with peer(deep, behave), PrivateChannel(deep) as channel:
        greeting = channel.hello(feed.Role.DEPLOYER, None)

    assert greeting == {"version": 3}


def test_where_nothing_listens_the_instance_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(InstanceUnreachable, match=r"cannot be reached \(No such file"):
        PrivateChannel(tmp_path)
    with pytest.raises(InstanceUnreachable):
        PrivateChannel(tmp_path / "missing")


def test_a_server_that_stalls_is_unreachable_after_the_limit(tmp_path: Path) -> None:
    stop = threading.Event()

    with peer(tmp_path, stall(stop)), PrivateChannel(tmp_path, timeout_s=0.05) as channel:
        with pytest.raises(InstanceUnreachable, match="did not answer in time"):
            channel.request(feed.status())
        stop.set()


def test_a_server_that_takes_no_more_bytes_does_not_hold_the_sender(tmp_path: Path) -> None:
    stop = threading.Event()
    batch = pa.record_batch({"id": pa.array([1], pa.int32()), "name": pa.array(["x" * 8_000_000])})
    (frame,) = feed.rows(0, PEOPLE, batch)

    with peer(tmp_path, stall(stop)), PrivateChannel(tmp_path, timeout_s=0.05) as channel:
        with pytest.raises(InstanceUnreachable):
            channel.send(frame)
        stop.set()


def test_a_frame_larger_than_the_socket_s_buffer_arrives_whole(tmp_path: Path) -> None:
    batch = pa.record_batch({"id": pa.array(range(400), pa.int32()), "name": pa.array(["y" * 10_000] * 400)})
    (frame,) = feed.rows(0, PEOPLE, batch, wanted=8_000_000)
    seen = []

    def behave(connection: socket.socket) -> None:
        seen.append(read_frame(connection))

    with peer(tmp_path, behave), PrivateChannel(tmp_path) as channel:
        channel.send(frame)

    assert seen == [(feed.Kind.ROWS, frame.encode()[5:])]


def test_the_reason_a_server_gives_before_it_closes_is_not_lost(tmp_path: Path) -> None:
    batch = pa.record_batch({"id": pa.array([1], pa.int32()), "name": pa.array(["x" * 8_000_000])})
    (frame,) = feed.rows(0, PEOPLE, batch)

    def behave(connection: socket.socket) -> None:
        connection.sendall(answer(b'{"error":"cap_exceeded","message":"too much"}', feed.Kind.ERROR))
        connection.shutdown(socket.SHUT_RD)

    with (
        peer(tmp_path, behave),
        PrivateChannel(tmp_path) as channel,
        pytest.raises(MemoryCapExceeded, match="too much"),
    ):
        channel.send(frame)


def test_a_server_that_closes_without_a_word_is_unreachable(tmp_path: Path) -> None:
    with (
        peer(tmp_path, lambda connection: None),
        PrivateChannel(tmp_path) as channel,
        pytest.raises(InstanceUnreachable),
    ):
        channel.request(feed.status())


def test_the_listening_socket_is_handed_over(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def behave(connection: socket.socket) -> None:
            read_frame(connection)
            socket.send_fds(connection, [answer(b"{}")], [listening.fileno()])

        with peer(tmp_path, behave), PrivateChannel(tmp_path) as channel, channel.listener() as given:
            assert given.getsockname() == listening.getsockname()
            assert given.fileno() != listening.fileno()
            assert not os.get_inheritable(given.fileno())


def test_a_closed_connection_is_noticed_without_asking(tmp_path: Path) -> None:
    close = threading.Event()
    closed = threading.Event()

    def behave(connection: socket.socket) -> None:
        close.wait(10)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    with peer(tmp_path, behave), PrivateChannel(tmp_path) as channel:
        before = channel.is_closed()
        close.set()
        closed.wait(10)
        after = channel.is_closed()

    assert (before, after) == (False, True)
