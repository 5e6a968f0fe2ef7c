"""The bytes of an answer as typed Arrow rows, without I/O."""
