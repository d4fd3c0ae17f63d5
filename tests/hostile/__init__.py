"""Files that somebody made to do harm, and files that came to harm: every reader of data refuses them in one line."""
