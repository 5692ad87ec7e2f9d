"""Suites of sparse autoencoders: trained, measured, reported."""
