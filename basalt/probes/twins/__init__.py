"""Twins on recordings' actions: the same world and actions with one thing changed, kept as pairs of recordings.

`changes` chooses what is changed, `library` is what is kept, and `make` is `basalt probe twins`.
"""
