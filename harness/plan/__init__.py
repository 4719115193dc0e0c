"""Model × nodes → what every node shall do. Pure."""
