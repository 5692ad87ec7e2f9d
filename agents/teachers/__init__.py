"""Synthetic teachers: programs that answer pairs of clips with the errors of people, for experiments.

They are never called people: their answers have the source `synthetic`.
"""
