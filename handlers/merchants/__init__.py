"""Who installed us: shops, their connections, and the versioned programme they steer by."""
