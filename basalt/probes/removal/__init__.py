"""What taking a few features out of an activation takes from probes of concepts: TPP and SCR.

`bases` has the features, `scores` the two tests, and `probe` is `basalt probe removal`.
"""
