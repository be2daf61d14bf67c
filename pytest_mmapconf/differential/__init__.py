"""An implementation and the reference make the same calls: differences, whose they are, and programs that show them."""
