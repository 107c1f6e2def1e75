"""The database engine: schema metadata, the two drivers of set-based steps, the group-commit writers."""
