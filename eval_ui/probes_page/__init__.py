"""Behind the Probes page: suites of sparse autoencoders, read from files."""
