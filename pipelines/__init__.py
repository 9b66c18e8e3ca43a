"""When what happens: one command, one config, one run folder."""
