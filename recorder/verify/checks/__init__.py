"""The checks: functions on numbers, which do no I/O.

Times are our clock, nanoseconds since 1970 UTC; intervals are half-open.
Arrays of rows have an entry a row, in the order in which they are given.
"""
