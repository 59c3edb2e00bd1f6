"""What CLDR and linguistics say of languages: names, scripts, lines of exemplars, families."""
