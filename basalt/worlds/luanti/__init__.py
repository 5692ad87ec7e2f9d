"""The embedded world: the Luanti engine without a screen, in lock-step."""
