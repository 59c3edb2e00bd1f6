"""The translation service: sees a Translator and nothing else of m4nmt."""
