"""Scores: BLEU, chrF++ and spBLEU by direction, with signatures, and the reports."""
