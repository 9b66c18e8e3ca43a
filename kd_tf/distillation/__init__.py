"""Training of a student under a teacher."""
