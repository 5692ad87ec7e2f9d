"""The suite: autoencoders on every hook point of a policy, and their measurement (`basalt probe scope`)."""
