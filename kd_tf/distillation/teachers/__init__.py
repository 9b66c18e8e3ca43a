"""Models that teach."""
