"""Episodes: an agent plays, a recording is replayed."""
