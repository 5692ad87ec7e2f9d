"""What agents share that learn from comparisons: answers and clips, likelihoods, losses, and the training loop."""
