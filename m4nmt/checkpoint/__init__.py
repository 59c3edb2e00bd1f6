"""Checkpoints: training state that survives anything, and model folders that travel."""
