"""The evals: one folder a question."""
