"""Whether demonstrations can be imitated from frames: the imitability gap."""
