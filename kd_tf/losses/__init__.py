"""Losses between a student's answer and its teacher's."""
