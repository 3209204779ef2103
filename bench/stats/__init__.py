"""Statistics: pure functions on numbers and arrays; imports no other room."""
