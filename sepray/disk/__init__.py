"""What lies on a disk: files written whole or not at all, temporary folders, lists of this user's, mapped tensors."""
