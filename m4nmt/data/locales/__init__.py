"""Behind `data.language` and `data.cldr`: families, lines in the languages of CLDR."""
