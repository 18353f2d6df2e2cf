"""The words of this project, each a small frozen type: behavior, subject, arm, recording, measurement, threshold, verdict."""
