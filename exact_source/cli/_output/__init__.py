"""The output of commands: tables, progress, logs, exit codes; and shared options."""
