"""Behind `data.manifest`: columns of a corpus, what its files tell, how it is fetched."""
