"""What must happen in a process before anything else is imported."""
