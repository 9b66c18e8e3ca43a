"""Passes that take weights away."""
