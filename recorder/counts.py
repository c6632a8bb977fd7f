"""Counts in words, as people read them."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number and what it counts: ``1 row``, ``1,204 rows``.

    Args:
        number: How many.
        one: What one of them is called, or what is said of it.
        many: The same of several, if that is not ``one`` with an ``s``.
    """
    what = one if number == 1 else many or f"{one}s"
    return f"{number:,} {what}"
