"""Read-outs of a frozen policy's latents: an expert that sees, with known error rates, for oversight."""
