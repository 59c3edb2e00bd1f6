"""From text files to sampled batches. Knows nothing of models."""
