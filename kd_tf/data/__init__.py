"""Data: sources, decoding of files, splits, augmentation and streams."""
