"""Benchmarks: one module each, with ``run(argv)`` that returns what ``basalt bench`` prints."""
