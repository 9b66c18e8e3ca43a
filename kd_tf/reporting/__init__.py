"""Records -> tables, pictures, one page. Formats; measures nothing."""
