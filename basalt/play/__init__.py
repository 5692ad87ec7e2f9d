"""People play: a window or a browser page in front of a world, recorded as any rollout is."""
