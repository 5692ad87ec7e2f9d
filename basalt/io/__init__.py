"""Files, locks, progress and errors; knows nothing of the benchmark."""
