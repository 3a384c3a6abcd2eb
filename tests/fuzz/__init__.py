"""Fuzzing: targets that take any octets, a small corpus, and `run.py`, which looks for more."""
