"""The answerer without a language model: it chooses the sentences that answer, and says how sure it is."""
