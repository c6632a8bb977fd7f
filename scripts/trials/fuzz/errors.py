"""What a fuzzer found."""


class FoundError(AssertionError):
    """A promise that was not kept."""
