"""Tables, engine, unit of work and repositories: all SQL is here."""
