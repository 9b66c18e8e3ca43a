"""Decoding: from files on disk to arrays."""
