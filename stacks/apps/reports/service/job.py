"""The scheduled job: writes one report over all orders."""

from database import transaction


def main() -> None:
    with transaction() as cursor:
        cursor.execute(
            "INSERT INTO reports (orders, cents)"
            " SELECT count(*), coalesce(sum(cents), 0) FROM orders RETURNING id, orders, cents"
        )
        number, orders, cents = cursor.fetchone()
    print(f"report {number}: {orders} orders, {cents} cents")


if __name__ == "__main__":
    main()
