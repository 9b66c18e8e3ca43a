"""Keras models to `.tflite` files."""
