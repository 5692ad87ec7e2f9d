"""Sparse autoencoders: `config`, the architectures, the `training` loop, the trained `model`, its `files`."""
