"""An agent, a world, a probe and a rating model that plug into basalt-benchmark."""
