"""The words of this project, each a small frozen type: behavior, subject, arm, settings, measurement, threshold, verdict, waiver."""
