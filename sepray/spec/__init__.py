"""The description of a study: its fields, its command-line flags, its folder."""
