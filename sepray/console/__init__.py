"""Parts of the terminal that commands and studies share: flags, checks before the start, progress, exit statuses."""
