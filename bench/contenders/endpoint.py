"""What a team writes by hand in front of PostgreSQL, written for speed: a pool, prepared statements, JSON made by the
database and passed on as it is. Started by contenders/postgres.py with uvicorn.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, Response

POINT = "SELECT json_agg(t)::text FROM (SELECT id, name, email, plan FROM users WHERE id = $1) t"
NESTED = """
SELECT json_agg(t)::text FROM (
  SELECT u.id, u.name, (
    SELECT coalesce(json_agg(p ORDER BY p.id), '[]') FROM (
      SELECT p.id, p.title, (
        SELECT coalesce(json_agg(c ORDER BY c.id), '[]')
        FROM (SELECT c.id, c.body, c.approved FROM comments c WHERE c.post_id = p.id) c
      ) AS comments FROM posts p WHERE p.author_id = u.id
    ) p
  ) AS posts FROM users u WHERE u.id = $1
) t
"""
FILTER = """
SELECT coalesce(json_agg(t), '[]')::text FROM (SELECT id, title FROM posts WHERE views = $1 ORDER BY id) t
"""
TOP = "SELECT json_agg(t)::text FROM (SELECT id, title, views FROM posts ORDER BY views DESC, id LIMIT 100) t"
DUMP = """
SELECT json_agg(t)::text FROM (
  SELECT id, post_id, user_id, body, approved, created_at FROM comments ORDER BY id
) t
"""


@asynccontextmanager
async def pool(app: FastAPI) -> AsyncIterator[None]:
    size = int(os.environ["BENCH_POOL"])
    async with asyncpg.create_pool(os.environ["BENCH_DSN"], min_size=size, max_size=size) as connections:
        app.state.pool = connections
        yield


app = FastAPI(lifespan=pool)


async def answer(statement: str, *arguments: Any) -> Response:
    body = await app.state.pool.fetchval(statement, *arguments, timeout=120)
    return Response(body, media_type="application/json")


@app.get("/users/{number}")
async def point(number: int) -> Response:
    return await answer(POINT, number)


@app.get("/users/{number}/posts")
async def nested(number: int) -> Response:
    return await answer(NESTED, number)


@app.get("/posts")
async def by_views(views: int) -> Response:
    return await answer(FILTER, views)


@app.get("/top")
async def top() -> Response:
    return await answer(TOP)


@app.get("/comments")
async def dump() -> Response:
    return await answer(DUMP)
