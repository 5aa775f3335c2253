"""Requests go first, and the background goes on."""

import threading

from reflexdb.control.precedence import Precedence
from reflexdb.records.store import Store, background

LIMIT_S = 60


def test_the_background_waits_for_nobody_where_nobody_asks() -> None:
    passed = threading.Event()
    thread = threading.Thread(target=lambda: (Precedence().let_pass(), passed.set()), daemon=True)
    thread.start()
    assert passed.wait(LIMIT_S)
    thread.join(LIMIT_S)


def test_the_background_goes_on_however_long_a_request_takes() -> None:
    precedence = Precedence()
    precedence.came()
    for _ in range(3):
        precedence.let_pass()


def test_a_request_that_left_twice_does_not_let_the_background_before_another(monkeypatch) -> None:
    precedence = Precedence()
    monkeypatch.setattr("reflexdb.control.precedence._LONGEST_S", LIMIT_S)
    gone, gone_too = precedence.came(), precedence.came()
    gone()
    gone()
    passed = threading.Event()
    thread = threading.Thread(target=lambda: (precedence.let_pass(), passed.set()), daemon=True)
    thread.start()
    assert not passed.wait(0.2)
    gone_too()
    assert passed.wait(LIMIT_S)
    thread.join(LIMIT_S)


def test_only_transactions_of_the_background_ask_to_be_let_through(tmp_path) -> None:
    store, asked = Store(tmp_path / "control.db"), []
    with store.read():
        pass
    with background(lambda: asked.append("asked")):
        with store.read():
            pass
        with store.write():
            pass
    with store.write():
        pass
    store.close()
    assert asked == ["asked", "asked"]
