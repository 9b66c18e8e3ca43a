"""Smaller numbers for weights and activations."""
