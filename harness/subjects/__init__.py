"""From a folder or a name to a subject whose files were checked."""
