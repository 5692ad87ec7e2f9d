"""Probes: what a trained policy represents, read from its activations over recordings."""
