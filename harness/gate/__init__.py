"""From a measurement to an exit code: thresholds, verdicts, the pytest plugin and everything a run leaves behind."""
