"""Tools for developers: asset makers, stand-ins, tables."""
