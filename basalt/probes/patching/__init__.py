"""Which parts of a policy a choice runs through: activation patching on pairs of windows, and fast estimates of it.

`nodes` lists the parts, `window` runs the policy with some of them patched, `exact` patches, `attribution` estimates what
patching would do, `verification` says what an estimate is worth, and `probe` is `basalt probe patch`.
"""
