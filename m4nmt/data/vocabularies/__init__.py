"""Behind `data.tokenizer`: foreign models, and which size a vocabulary should have."""
