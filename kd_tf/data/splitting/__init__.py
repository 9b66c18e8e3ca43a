"""Sources to training, validation and test splits on disk."""
