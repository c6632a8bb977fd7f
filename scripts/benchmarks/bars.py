"""The figures that have a bar, P1 to P9."""

from benchmarks.report import Bar


P1 = Bar("P1", "CPU, bytes to Arrow batch / typed decode, depth", 2.0, 1.5)
P2 = Bar("P2", "CPU, socket to closed Parquet / receive and drop", 6.0, 4.0)
P3 = Bar(
    "P3", "CPU, cryptofeed / bytes to Arrow batch, depth", 8.0, 12.0, is_least=True
)
P4A = Bar(
    "P4a", "level changes/s, memory to BBO / hftbacktest", 3.0, 5.0, is_least=True
)
P4B = Bar("P4b", "level changes/s, disk to BBO / hftbacktest", 4.0, 6.0, is_least=True)
P5 = Bar("P5", "CPU a frame, many markets / few", 1.3, 1.1)
P6A = Bar("P6a", "largest memory at the end / at the beginning", 1.1, None)
P6B = Bar("P6b", "largest memory, MB", 500.0, 350.0, digits=0)
P7 = Bar("P7", "bytes in Parquet / in gzip -6 JSON lines", 0.9, 0.6)
P8 = Bar("P8", "wall time, recorder --help / import click", 2.0, 1.5)
P9 = Bar("P9", "frames unaccounted for, at any rate", 0.0, None, digits=0)

ALL = (P1, P2, P3, P4A, P4B, P5, P6A, P6B, P7, P8, P9)
"""In the order in which they are told."""
