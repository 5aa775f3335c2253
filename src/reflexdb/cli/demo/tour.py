"""The demo that checks itself: every form's answer against SQL, a change seen, a rebuild after ALTER TABLE, a rollback,
the end.

Called by `reflexdb demo --once`. Anything that is not as it must be raises CommandFailed with what was expected;
nothing is only looked at for its status code.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

from reflexdb.cli.demo.forms import FORMS, Blog, difference
from reflexdb.cli.demo.steps import Served, act
from reflexdb.cli.exits import CommandFailed, Exit
from reflexdb.cli.progress import Progress
from reflexdb.client import ApiError, QueryClient, ReflexClient, Unreachable

FRESHNESS_LIMIT_S = 60.0
NEW_NAME = "Renée “Zed” O'Malley 🚀"


def tour(served: Served, show: Progress) -> None:
    """All of it, in order."""
    with served.plane.client() as client, QueryClient(served.endpoint, served.key) as instance:
        check_forms(served, instance, show, "queries")
        check_a_key_is_needed(served, show)
        check_a_change_arrives(served, instance, show)
        rebuilt = check_a_rebuild_takes_in_a_new_column(served, client, instance, show)
        check_a_rollback(served, client, instance, show, newer=rebuilt)
        check_the_end(served, client, instance, show)


def check_forms(served: Served, instance: QueryClient, show: Progress, when: str) -> None:
    blog = Blog(served.source)
    for form in FORMS:
        show.phase(f"{when}: form {form.number}, {form.shows}")
        show.line(form.text)
        answer = instance.query(form.text)
        expected = form.expected(blog)
        must(bool(expected), f"the sample has no rows for {form.text!r}")
        found = difference(expected, answer, ordered=form.ordered)
        must(found is None, f"{form.text!r} is answered wrongly: {found}")
        show.line(f"{len(expected):,} rows, as SQL says")


def check_a_key_is_needed(served: Served, show: Progress) -> None:
    show.phase("keys: a wrong one is refused")
    with QueryClient(served.endpoint, "rxk_nobody." + "0" * 64) as stranger:
        try:
            stranger.query("users { id }")
        except ApiError as error:
            must(error.status == 401, f"a wrong key was answered with {error.status}, not 401")
        else:
            raise CommandFailed(Exit.FAILED, "a wrong key was answered with rows")


def check_a_change_arrives(served: Served, instance: QueryClient, show: Progress) -> None:
    show.phase("freshness: UPDATE in the source, until a query shows it")
    change(served, "UPDATE users SET name = ? WHERE id = 42", (NEW_NAME,))
    begin = time.monotonic()
    while instance.query("users(id = 42) { name }") != [{"name": NEW_NAME}]:
        must(time.monotonic() - begin < FRESHNESS_LIMIT_S, f"a change was not visible after {FRESHNESS_LIMIT_S:.0f} s")
        time.sleep(0.05)
    show.line(f"visible after {time.monotonic() - begin:.1f} s")


def check_a_rebuild_takes_in_a_new_column(
    served: Served, client: ReflexClient, instance: QueryClient, show: Progress
) -> str:
    """Returns the new build's id."""
    show.phase("rebuild: ALTER TABLE in the source")
    change(served, "ALTER TABLE users ADD COLUMN country TEXT")
    change(served, "UPDATE users SET country = CASE id % 3 WHEN 0 THEN 'Österreich' WHEN 1 THEN 'Côte d''Ivoire' END")
    act(served.plane, client, served.database_id, "rebuild", show)
    with closing(sqlite3.connect(served.source)) as db:
        rows = db.execute("SELECT id, country FROM users ORDER BY id").fetchall()
    expected = [{"id": key, "country": country} for key, country in rows]
    found = difference(expected, instance.query("users { id country }"), ordered=True)
    must(found is None, f"after the rebuild {found}")

    history = client.list_builds(served.database_id)
    builds = history["builds"]
    must(len(builds) == 2, f"the history has {len(builds)} builds after a provision and a rebuild")
    must(builds[1]["id"] == served.build_id, "the history is not newest first")
    must(history["activeBuildId"] == builds[0]["id"], "activeBuildId is not the new build")
    must(all(build.get("deployable") for build in builds), "a stored build is not deployable")
    return builds[0]["id"]


def check_a_rollback(
    served: Served, client: ReflexClient, instance: QueryClient, show: Progress, *, newer: str
) -> None:
    act(served.plane, client, served.database_id, "redeploy", show, served.build_id)
    history = client.list_builds(served.database_id)
    must(history["activeBuildId"] == served.build_id, "activeBuildId is not the build that was redeployed")
    must([build["id"] for build in history["builds"]] == [newer, served.build_id], "a redeploy changed the history")
    try:
        instance.query("users { id country }")
    except ApiError as error:
        must(error.code == "unknown_field", f"the first build answered the new column with {error.code}")
    else:
        raise CommandFailed(Exit.FAILED, "the first build still answers the column that was added after it")
    check_forms(served, instance, show, "after the rollback")


def check_the_end(served: Served, client: ReflexClient, instance: QueryClient, show: Progress) -> None:
    act(served.plane, client, served.database_id, "terminate", show)
    must(client.list_builds(served.database_id)["activeBuildId"] is None, "a terminated database has an active build")
    show.phase("terminate: the endpoint is gone")
    try:
        instance.query("users { id }")
    except Unreachable:
        return
    except ApiError as error:
        # The port was free again, and another control plane has given it to a database that refuses our key.
        if error.status == 401:
            return
    raise CommandFailed(Exit.FAILED, "the endpoint still answers after the termination")


def change(served: Served, sql: str, values: tuple[object, ...] = ()) -> None:
    with closing(sqlite3.connect(served.source, timeout=30)) as db, db:
        db.execute(sql, values)


def must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise CommandFailed(Exit.FAILED, otherwise)
