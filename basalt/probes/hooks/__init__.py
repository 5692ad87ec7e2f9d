"""Hook points of a policy: activations recorded, stored and patched."""
