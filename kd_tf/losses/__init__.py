"""Losses between the tensors of a student and of its teacher."""
