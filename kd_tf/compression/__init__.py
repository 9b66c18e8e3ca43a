"""Passes that make a trained model smaller."""
