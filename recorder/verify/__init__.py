"""Is a store what it says it is? Every file, row, id, interval and leftover.

`verify` reads a store once and returns a `Report`: what was looked at, and the
findings. It writes nothing, takes no lock for longer than a look, and may run
beside captures: what lives is told by locks, and what a living run has not told
yet is left to the next look.

The checks themselves (`recorder.verify.checks`) are functions on numbers that
do no I/O; what surrounds them reads files and says whose the numbers are. They
share nothing with those who write a store but the names of files and columns.
"""

from recorder.verify.findings import KINDS, Finding, Kind, Report
from recorder.verify.run import verify


__all__ = ["KINDS", "Finding", "Kind", "Report", "verify"]
