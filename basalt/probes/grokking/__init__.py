"""Grokking and circuit efficiency: why a network that has memorised begins to generalise (arXiv 2309.02390).

`networks` has the networks, `training` trains one on a number of sums, and `probe` is `basalt probe grok`.
"""
