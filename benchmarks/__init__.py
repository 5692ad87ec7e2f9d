"""Benchmarks, run by `basalt bench NAME` from a checkout."""
