"""Numbers of things as text."""

__version__ = "1.0.0"


def count(number: int, one: str, many: str) -> str:
    """A number with its noun: (1, "report", "reports") is "1 report"."""
    return f"{number} {one if number == 1 else many}"
