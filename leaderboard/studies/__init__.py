"""Studies: rules, settings, access, events, exports."""
