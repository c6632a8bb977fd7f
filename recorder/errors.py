"""Every error this package raises, in one tree.

RecorderError
├ ConfigError                  the operator; raised before anything is opened
├ TransportError               the network; back off and reconnect
│  ├ ThrottledError            the venue asks us to wait; carries retry_after_seconds
│  └ HttpStatusError           it answered with an error; carries status
├ SourceError                  the venue broke its contract; carries source, market
│  ├ WireError                 a frame that does not fit; goes to the table frames
│  └ QuestionRefusedError      the venue refuses to tell what it was asked once
├ QueryError                   the question; mend the SQL
├ BookError                    our use of an order book
│  └ NotSyncedError            the book is not known at this instant
└ StoreError                   this machine: disk, permissions, files
   ├ DiskError                 refused for now: full, read-only, gone; try again
   ├ JobRunningError           another run holds this job
   ├ JobLostError              another run has taken this job from us
   ├ UnknownSchemaError        a file written by a version we do not know
   └ CorruptSegmentError       a file that does not hold what its footer says

The class says who is at fault, and that alone picks the reaction.
Ordinary market weather (a gap, a stale update, a reconnect) is a value, not an error.
"""


class RecorderError(Exception):
    """Root of the tree; catch this to catch everything raised on purpose."""


class ConfigError(RecorderError):
    """The command line or the configuration asks for something impossible."""


class TransportError(RecorderError):
    """The network failed; trying again later may help."""


class ThrottledError(TransportError):
    """The venue asks us to slow down.

    Attributes:
        retry_after_seconds: How long the venue wants us to wait.
    """

    def __init__(self, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(retry_after_seconds)

    def __str__(self) -> str:
        return f"the venue asks to wait {self.retry_after_seconds:g} s"


class HttpStatusError(TransportError):
    """A call by HTTP was answered with an error.

    Attributes:
        status: The HTTP status.
        words: What came with it, for people.
    """

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        self.words = words
        super().__init__(status, words)

    def __str__(self) -> str:
        return self.words

    @property
    def is_refusal(self) -> bool:
        """Whether the same call would be answered so again."""
        return 400 <= self.status < 500 and self.status not in (408, 425)


class SourceError(RecorderError):
    """The venue did something its documents exclude."""


class WireError(SourceError):
    """A frame that could not be decoded; it is kept verbatim in ``frames``."""


class QuestionRefusedError(SourceError):
    """The venue refused to tell what it was asked; ask something else."""


class QueryError(RecorderError):
    """A question that cannot be answered as it is asked; mend the SQL."""


class BookError(RecorderError):
    """An order book was used in a way that has no right answer."""


class NotSyncedError(BookError):
    """The book is not known at this instant."""


class StoreError(RecorderError):
    """This machine's disk, permissions or files stand in the way."""


class DiskError(StoreError):
    """The disk refuses for now; somebody may mend it while we wait."""


class JobRunningError(StoreError):
    """Another run holds this job.

    Attributes:
        job: Name of the job.
        holder: What is known of the run that holds it, for the message.
    """

    def __init__(self, job: str, holder: str) -> None:
        self.job = job
        self.holder = holder
        super().__init__(job, holder)

    def __str__(self) -> str:
        return (
            f"job {self.job!r} is already running ({self.holder}); "
            "stop that run, or choose another --job"
        )


class JobLostError(StoreError):
    """Another run has taken this job, because this one did not answer for long.

    Attributes:
        job: Name of the job.
    """

    def __init__(self, job: str) -> None:
        self.job = job
        super().__init__(job)

    def __str__(self) -> str:
        return (
            f"another run has taken over job {self.job!r}, because this one did not "
            "answer for long; it goes on recording, so there is nothing to do"
        )


class UnknownSchemaError(StoreError):
    """A stored file names a schema version that this release does not know."""


class CorruptSegmentError(StoreError):
    """A stored file cannot be read or disagrees with its own footer."""
