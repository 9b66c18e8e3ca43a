"""Runs, scores and times `.tflite` files as a device would.

Needs NumPy, Pillow and ai-edge-litert, and nothing else.
"""
