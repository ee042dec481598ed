"""The database, named by libpq's environment (PGHOST, PGUSER, PGDATABASE, PGPASSWORD)."""

import contextlib
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions

CONNECT_SECONDS = 5


@contextlib.contextmanager
def transaction() -> Iterator[psycopg2.extensions.cursor]:
    """A cursor whose statements take effect together, or not at all."""
    connection = psycopg2.connect("", connect_timeout=CONNECT_SECONDS)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
