"""From where examples are to what training and the device read."""
