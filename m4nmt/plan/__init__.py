"""What a run will need and how long it will take, before any money is spent."""
