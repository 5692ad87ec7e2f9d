"""Episodes: an agent plays and is recorded; a recording is replayed."""
