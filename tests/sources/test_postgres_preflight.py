"""What has to be in place before a PostgreSQL database can be followed, and the words for what is not."""

from __future__ import annotations

import contextlib

import pytest
from psycopg import sql

from reflexdb.sources import open_source
from reflexdb.sources.changes import FollowOptions
from reflexdb.sources.postgres.follow import PostgresFollower
from tests.servers.plugin import TestDatabase
from tests.sources.applying import keyed_plan
from tests.sources.following import Replica
from tests.sources.helpers import postgres_address

pytestmark = pytest.mark.each_postgres

ACCOUNTS = "CREATE TABLE accounts (id int PRIMARY KEY, owner text NOT NULL, cents bigint NOT NULL)"


def test_preflight_names_what_is_missing_and_its_remedy(postgres_database: TestDatabase) -> None:
    database = postgres_database
    database.execute(ACCOUNTS)
    user = f"reader_{database.schema}"
    admin = database.connect()
    try:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'reader-secret'").format(sql.Identifier(user)))
        admin.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(user)))
        address = postgres_address(database, user=user, password="reader-secret")
        follower = PostgresFollower(address, database.schema, FollowOptions(f"reflexdb_{database.schema}", 1))
        with contextlib.closing(open_source(address)) as source:
            schema = source.introspect(database.schema)
        plan = keyed_plan(schema)
        issues = follower.preflight(plan)
        assert any(f'ALTER ROLE "{user}" REPLICATION' in issue for issue in issues)
        assert any('CREATE PUBLICATION reflexdb FOR TABLE "public"."accounts"' in issue for issue in issues)
        assert any("replication connection is refused" in issue for issue in issues)
        admin.execute(sql.SQL("ALTER ROLE {} REPLICATION").format(sql.Identifier(user)))
        admin.execute("CREATE TABLE elsewhere (id int PRIMARY KEY)")
        admin.execute("CREATE PUBLICATION reflexdb FOR TABLE elsewhere WITH (publish = 'insert')")
        issues = follower.preflight(plan)
        assert any('ADD TABLE "public"."accounts"' in issue for issue in issues)
        assert any("SET (publish = 'insert, update, delete, truncate'" in issue for issue in issues)
        admin.execute("DROP PUBLICATION reflexdb")
        admin.execute("CREATE PUBLICATION reflexdb FOR TABLE accounts WITH (publish_via_partition_root = true)")
        assert follower.preflight(plan) == ()
        replica = Replica(plan)
        with follower.snapshot(plan) as reader:
            replica.load(reader)
        stream = follower.stream(plan, replica.position)
        database.execute("INSERT INTO accounts VALUES (1, 'Ann', 5)")
        until = database.execute("SELECT pg_current_wal_insert_lsn()::text")[0][0]
        replica.follow(stream, follower, until)
        stream.close()
        assert replica.tables[0] == {(1,): (1, "Ann", 5)}
        follower.drop()
        admin.execute("ALTER TABLE accounts ENABLE ROW LEVEL SECURITY")
        assert any("row security" in issue for issue in follower.preflight(plan)), "there is no other table"
        assert any("BYPASSRLS" in warning for warning in follower.warnings(plan))
    finally:
        admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(user)))
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(user)))
        admin.close()
