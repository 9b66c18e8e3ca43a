"""Running, checking and timing `.tflite` files without TensorFlow."""
