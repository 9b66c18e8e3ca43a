"""Callbacks of a training: checkpoints to resume from, and progress lines."""
