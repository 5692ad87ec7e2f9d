"""Reading and changing a policy's activations while it runs.

`policy.hook_points()` lists what can be read, `points.record` reads it and `points.patch` puts something else in its place. On top of it, `activations` collects or streams activations
over recordings, `store` keeps them on disk, and `patching` measures what a patch costs.

One index space holds throughout: an activation belongs to `(episode, frame)`. `episode` is an index in the
list of episodes that a function was given (for a store, `ActivationStore.episodes`, which is sorted by
split); `frame` counts the frames of the recording, including those that the policy was not shown
(`drop_null`). `batch_size` and `seq_len` change speed only. Frames of one episode are near-copies, so
intervals are always computed over episodes.
"""
