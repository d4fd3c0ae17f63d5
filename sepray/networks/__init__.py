"""Network layers and architectures that separators are built from."""
