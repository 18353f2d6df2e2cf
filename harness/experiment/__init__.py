"""The bench of all questions: subjects, arms, recordings, sizes and thresholds in, measurements and exhibits out."""
