"""From a question to hits, and later to an answer: one module a step."""
