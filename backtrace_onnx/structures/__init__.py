"""What an operator is, as far as relevance is concerned: the structures rules return."""
