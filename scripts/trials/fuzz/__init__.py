"""Fuzzing: damaged frames through a whole session, damaged journals through recovery."""
