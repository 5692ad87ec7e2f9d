"""The sections of the Study page."""
