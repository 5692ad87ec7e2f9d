"""Publishing: recordings, policies, suites and boards at an address, with a card (`basalt hub`)."""
