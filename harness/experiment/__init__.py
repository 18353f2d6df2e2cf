"""The bench every question stands at: subjects, arms, recordings, sizes, exhibits."""
