"""From a measurement to a verdict and its entry. Knows no pytest."""
