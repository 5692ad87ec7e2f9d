"""Probes without labels, and the checks without which their accuracy says nothing about what a policy knows.

`methods` fits the probes, `checks` tests them, `pairs` makes contrast pairs of a policy's activations, and `probe` is
`basalt probe elicit`.
"""
