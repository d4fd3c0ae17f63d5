"""What commands and studies share in the terminal: flags, checks before the start, progress, exit statuses."""
