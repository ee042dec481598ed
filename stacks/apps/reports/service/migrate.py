"""Applies each of migrations/*.sql once, in the order of their names, each in its own transaction.

A migration only adds: an older version of the service must still be able to read what it leaves, because going back to
that version does not take data back.
"""

import pathlib

from database import transaction

FOLDER = pathlib.Path(__file__).resolve().parent / "migrations"
# Any fixed number: two runs at once wait for each other instead of applying a migration twice.
LOCK = 7_263_001


def apply(path: pathlib.Path) -> bool:
    """Applies one file unless it was applied before; says whether it did."""
    with transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute("SELECT 1 FROM migrations WHERE name = %s", (path.name,))
        if cursor.fetchone():
            return False
        cursor.execute(path.read_text(encoding="utf-8"))
        cursor.execute("INSERT INTO migrations (name) VALUES (%s)", (path.name,))
        return True


def main() -> None:
    with transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (name text PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())"
        )
    for path in sorted(FOLDER.glob("*.sql")):
        print(f"{path.name}: {'applied' if apply(path) else 'already applied'}")


if __name__ == "__main__":
    main()
