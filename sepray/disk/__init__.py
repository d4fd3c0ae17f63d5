"""Files and folders on the disk: written whole or not at all, locked, temporary, private, mapped, or with copies."""
