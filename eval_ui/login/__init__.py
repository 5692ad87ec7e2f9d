"""Admin login."""
