"""Who is asking, and may they: keys, workspaces, readers."""
