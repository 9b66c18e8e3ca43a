"""Splitting: which example is for training, validation or test."""
