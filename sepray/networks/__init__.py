"""Networks, adversarial losses and base classes that separators are built from."""
