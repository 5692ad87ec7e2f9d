"""What learning agents share: runs, losses, optimisers, distributed training."""
