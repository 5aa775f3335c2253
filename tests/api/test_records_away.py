"""Records that are away, locked, full or read-only: requests are told so, nothing is lost, and it goes on by itself."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from sqlalchemy import URL, event

from reflexdb.model.errors import RecordsUnavailable, SystemError_
from reflexdb.records import accounts, engines
from reflexdb.records.store import Store, patience
from tests.api.api import Api, until
from tests.api.plane import plane_on, spawn
from tests.api.test_kill import at_phase, check_invariants, provisioned
from tests.api.test_serve import refused
from tests.control.test_records import NOW
from tests.servers.cut import Cut
from tests.servers.records import as_text, empty_database
from tests.servers.shared import Server


@pytest.fixture
def url(postgres_server: Server) -> Iterator[URL]:
    with empty_database(postgres_server) as found:
        yield found


@pytest.fixture
def cut(url: URL) -> Iterator[Cut]:
    assert url.host is not None
    assert url.port is not None
    cut = Cut(url.host, url.port)
    yield cut
    cut.cut()


def test_postgresql_goes_away_in_a_build_and_comes_back(data: Path, source: Path, url: URL, cut: Cut) -> None:
    with plane_on(data, url.set(host="127.0.0.1", port=cut.port)) as plane:
        api = plane.start()
        database = provisioned(api, source)
        row = api.get(f"/databases/{database}")
        api.post(f"/databases/{database}/rebuild")
        at_phase(api, database, "building")
        cut.cut()
        for path in ("/databases", f"/databases/{database}"):
            answer = api("GET", path)
            assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
            assert "can't be reached" in answer.json()["message"]
        assert httpx.get(f"{row['endpointUrl']}/health", trust_env=False).status_code == 200
        assert api.client.get("/healthz").status_code == 200
        cut.mend()
        until(lambda: api("GET", "/databases").status_code == 200, "the records", 30)

        assert check_invariants(api, database)["status"] == "running"
        statuses = [build["status"] for build in api.get(f"/databases/{database}/builds")["builds"]]
        assert statuses[0] == "succeeded"
        assert len(statuses) in (2, 3)  # done before the cut, waited for its end, or begun again after it
        plane.end()
        log = (data / "logs" / "control.log").read_text()
        assert url.password is not None
        assert url.password not in log
        assert "canary" not in log


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"port": 1}, "can't be reached"),
        ({"password": "canary"}, "refuse the login"),
        ({"database": "nothing_here"}, "are not there"),
        ({"query": {"nonsense": "1"}}, "an option libpq does not know"),
    ],
)
def test_a_start_without_postgresql_ends_with_a_sentence(
    tmp_path: Path, url: URL, change: dict[str, object], words: str
) -> None:
    out, err = (process := spawn(tmp_path / "data", 0, records=url.set(**change))).communicate(timeout=60)  # type: ignore[arg-type]

    assert (process.returncode, out, len(err.strip().splitlines())) == (2, "", 1)
    assert words in err
    assert (as_text(url) or "") not in err
    assert "canary" not in err


def test_work_at_hand_waits_for_the_records(url: URL, cut: Cut) -> None:
    store = Store(url.set(host="127.0.0.1", port=cut.port))
    cut.cut()
    with pytest.raises(RecordsUnavailable), store.write():
        pass
    timer = threading.Timer(0.5, cut.mend)
    timer.start()
    with patience(30), store.write() as tx:
        accounts.add_customer(tx, id="c", name="c", plan="free", created_at=NOW)
    timer.join()

    with store.read() as tx:
        assert accounts.customer(tx, "c") is not None
    store.close()


def test_a_transaction_that_stands_still_loses_the_write_lock(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "IDLE_MS", 300)
    stale, other = Store(url), Store(url)
    with pytest.raises(RecordsUnavailable), stale.write() as tx:  # noqa: PT012  # it is the end that fails
        accounts.add_customer(tx, id="stale", name="c", plan="free", created_at=NOW)
        with other.write() as second:  # waits until the first has lost it
            accounts.add_customer(second, id="other", name="c", plan="free", created_at=NOW)
    with other.read() as tx:
        assert accounts.customer(tx, "stale") is None
        assert accounts.customer(tx, "other") is not None
    stale.close()
    other.close()


def test_a_locked_file_is_said_and_waited_for(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    monkeypatch.setattr(engines, "WAIT_MS", 200)
    api: Api = request.getfixturevalue("api")
    with closing(sqlite3.connect(tmp_path / "data" / "metadata.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = api("POST", "/account/management-keys", {"name": "k"})
        assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
        assert "locked by another process" in answer.json()["message"]
        assert str(tmp_path) not in answer.text
        other.execute("ROLLBACK")

    assert api("POST", "/account/management-keys", {"name": "k"}).status_code == 201
    assert len(api.get("/account/management-keys")) == 2


def test_a_full_disk_stops_writing_and_harms_nothing(tmp_path: Path) -> None:
    """SQLite is told that the file may not grow, which it reports as it does a full disk."""
    store = Store(tmp_path / "metadata.db")
    engine = store._place.engine

    @event.listens_for(engine, "checkout")
    def no_room(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # at least what it has

    with pytest.raises(RecordsUnavailable, match="disk is full"), store.write() as tx:  # noqa: PT012
        for number in range(3000):
            accounts.add_customer(tx, id=f"c{number}", name="x" * 1000, plan="free", created_at=NOW)
    event.remove(engine, "checkout", no_room)
    engine.dispose()
    with store.write() as tx:
        assert accounts.first_customer(tx) is None
        assert tx.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        accounts.add_customer(tx, id="c", name="c", plan="free", created_at=NOW)
    store.close()


def test_read_only_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    Store(tmp_path / "metadata.db").close()
    store = Store(tmp_path / "metadata.db")

    @event.listens_for(store._place.engine, "checkout")
    def read_only(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA query_only = ON")

    with pytest.raises(RecordsUnavailable, match="read-only"), store.write() as tx:
        accounts.add_customer(tx, id="c", name="c", plan="free", created_at=NOW)
    store.close()
    (tmp_path / "metadata.db").write_bytes(b"not a database at all, but long enough to be read as one" * 40)
    with pytest.raises(SystemError_, match="damaged; restore it from a backup"):
        Store(tmp_path / "metadata.db")


def test_a_start_on_records_that_can_not_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data" / "metadata.db").mkdir(parents=True)

    assert "can't be opened" in refused(tmp_path / "data")
