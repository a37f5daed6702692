"""Control flow, sequences and optionals, written out as what really ran."""
