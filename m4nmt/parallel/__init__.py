"""How a finished model is laid over devices; the trainer sees only an Engine."""
