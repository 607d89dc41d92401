"""The training function, its configuration, losses and checkpoints."""
