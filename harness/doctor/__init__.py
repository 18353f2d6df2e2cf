"""What a run would find, without running it."""
