"""Records -> tables, curves, one page. Formats; measures nothing."""
